"""What a person sees: Streamlit pages that read the run store and write controls. Never imports torch."""
