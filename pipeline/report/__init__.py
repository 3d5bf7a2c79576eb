"""Results as people read them. Never imports torch.

__main__      `python -m pipeline.report`
page          the table in the terminal, and the HTML page
run_summary   what the folder of a run holds
plots         the pictures
model_card    README.md of the student
push          the student on the Hugging Face hub
"""
