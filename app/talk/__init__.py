"""A talk: slides that the program proposes from a run or a comparison, shown, and written as pictures, a slide deck or one HTML file."""
