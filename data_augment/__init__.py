"""Word replacement on any list of texts (TinyBERT, arXiv:1909.10351, Algorithm 1).

    words              which words of a text may be replaced, and where they stand
    placeholders       what stands for something else, and stays
    segmentation       the same for languages other than English
    vocabulary         which pieces of a masked LM's vocabulary are whole words, and which continue one
    pieces             where the words of a text stand among its tokens
    mask_predictor     the masked LM at work, in batches
    masked_lm          candidates for words of one piece
    vectors            candidates for all other words
    several_pieces     candidates for them from the masked LM, all pieces masked together
    fillings           words of several pieces, and what may fill them
    proposer           candidates of a model, the vectors or both, one shard at a time
    candidates_folder  the folder that holds the shards
    variants           variants of a text, drawn from its candidates
    dataset, card      the augmented dataset, and what its README says
    diversity          how varied texts are
    proposing          `propose`: candidates for any texts, in a folder of their own
    sampling           `sample`: variants of any rows, as a dataset
    table_rows         the rows of a table for the command line
    show               an original and its variants, to be read
    api                all of it without the pipeline: two functions, which go on after a kill
    provenance         what a folder was made from
    __main__           the same from a command line: `python -m data_augment`

Candidates cost a masked LM; samples cost next to nothing. So they are two artifacts.
"""
