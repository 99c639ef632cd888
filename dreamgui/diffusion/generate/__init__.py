"""Pictures of a job: sizes, passes over large pictures and faces, previews, and what is noted of each."""
