"""Results as people read them. Never imports torch.

__main__      `python -m pipeline.report`
results       the table in the terminal; brings a run's report up to date
run_summary   what the folder of a run holds
page          the HTML pages; templates/ decides what they show
plots         the pictures, one function each
model_card    README.md of the student
push          the student on the Hugging Face hub
"""
