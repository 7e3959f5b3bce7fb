"""The lessons: what each says, asks and shows."""
