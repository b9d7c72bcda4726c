"""What each evidence section of the review page shows: plain objects made from evidence, drawn by the templates."""
