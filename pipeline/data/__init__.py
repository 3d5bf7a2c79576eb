"""What the user's files say: rows, texts and labels, each checked where it is read.

tables           .csv, .tsv, .jsonl, .json, .parquet, row by row
examples         from a row to an example of the task
glue, conll, squad   formats with a layout of their own
splits           which rows are held out, and what must hold between splits
documents, corpus, masking   unlabelled text: documents, blocks of tokens, masks
word_vectors     GloVe and word2vec files
"""
