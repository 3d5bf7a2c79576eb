"""The user's files: rows, texts and labels, each checked when it is read.

text_files       lines of plain and compressed text files
parquet          rows, column types and label names of Parquet files
tables           .csv, .tsv, .jsonl, .json, .parquet, row by row
rows, csv_tables, json_tables   a row and the checks of its columns; the readers of each kind
labels           their names: two spellings of one label are one
examples, label_lists, soft_labels   from a row to an example of the task
tags, running_text   what the tags of words mean; files without tags that hold lines of text
glue, conll, squad   formats with a layout of their own
word_lists       lists of words and tags in the rows of a table
splits           which rows are held out, and the checks between splits
documents, corpus, masking   unlabelled text: documents, blocks of tokens, masks
languages        the language of texts, guessed from their scripts
new_tokenizer    a WordPiece or BPE tokenizer made from texts
word_vectors     GloVe and word2vec files
"""
