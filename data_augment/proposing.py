"""Candidates for any texts, written to a folder; killed and called again it goes on."""

import hashlib
import sys
from collections.abc import Collection, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError
from tqdm import tqdm

from data_augment.candidates_folder import shard_path, write_candidates
from data_augment.provenance import checksums, record_provenance, versions
from data_augment.vectors import load_vectors
from pipeline.config.data import ProposeCandidates, SeveralPieces
from pipeline.config.fields import WRONG
from pipeline.data.languages import AUTO, ENGLISH, check_packages, languages_of
from pipeline.errors import UserError
from pipeline.hardware import resolve_precision
from pipeline.models.saved_model import MODEL_FILES, check_tokenizer, model_shape


def propose(
    texts: Iterable[str],
    output: str | Path,
    *,
    masked_lm: str | Path,
    vectors: str | Path | None = None,
    k: int = ProposeCandidates.candidates,
    vector_words: int = ProposeCandidates.vector_words,
    context: Literal["single", "pair"] = ProposeCandidates.context,
    mask_share: float = ProposeCandidates.mask_share,
    word_share: float = 1,
    protect: str | None = None,
    placeholders: bool = ProposeCandidates.placeholders,
    stop_words: Collection[str] | None = None,
    language: str = AUTO,
    several_pieces: SeveralPieces = ProposeCandidates.several_pieces,
    beam: int = ProposeCandidates.beam,
    shard_texts: int = ProposeCandidates.shard_texts,
    decode_tokens: int | None = None,
    precision: Literal["auto", "bf16", "fp32"] = "auto",
) -> Path:
    """Write what could stand at each word of the texts; killed and called again it goes on from the last shard.

    Args:
        texts: each different one is done once.
        output: the folder of candidates: a new one, or one that the same call has started.
        masked_lm: folder of a masked LM with its tokenizer (safetensors).
        vectors: word vectors for words of several pieces (`load_vectors`); None: these stay as they are.
        k: candidates a word.
        vector_words: how many of the most frequent words with vectors are searched.
        context: what the masked LM sees (`masked_lm_candidates`): the masked text alone, or the unmasked one behind it.
        mask_share: share of a text's tokens that is masked in one pass; 0: one word (Algorithm 1).
        word_share: share of the words, drawn at random, that get candidates. For one variant of each text, 0.4 here and
            a `p` of 1 in `sample` take less time than 1 here and a `p` of 0.4.
        protect: what this regular expression finds in a text is never replaced.
        placeholders: keep placeholders in brackets, addresses, mail addresses, @names and #tags as they are.
        stop_words: words that are never replaced; None: our list of English function words, and for other languages
            those of stopwords-iso.
        language: of the texts, as an ISO 639 code; "auto" guesses it from their scripts, and may find several.
        several_pieces, beam: candidates for words of several pieces (`several_piece_candidates`).
        shard_texts: texts a shard.
        decode_tokens: padded tokens that go through the masked LM at once; None: as many as suit the hardware.

    Returns: the folder.
    Raises: UserError where an input cannot be used, or the folder holds candidates of other texts or settings.
    """
    import torch  # noqa: PLC0415 (all of these: `sample` does without torch and transformers)

    from data_augment.proposer import Proposer, shards, unique_texts  # noqa: PLC0415
    from pipeline.models.device import compute_device  # noqa: PLC0415
    from pipeline.models.loading import freeze, load_language_model, load_tokenizer  # noqa: PLC0415

    output, masked_lm = Path(output), _model_folder(Path(masked_lm))
    settings = _settings(
        candidates=k,
        vector_words=vector_words,
        context=context,
        mask_share=mask_share,
        protect=protect,
        placeholders=placeholders,
        stop_words=stop_words,
        several_pieces=several_pieces,
        beam=beam,
        shard_texts=shard_texts,
        decode_tokens=decode_tokens,
    )
    if not 0 < word_share <= 1:
        raise UserError(f"word_share is {word_share}; a share of the words is above 0 and at most 1")
    different = unique_texts(texts)
    languages = languages_of(different, language)
    check_packages(languages.found, stop_words=stop_words)
    print(f"language: {languages}", file=sys.stderr)
    resolved = resolve_precision(precision)
    table = None
    if vectors and several_pieces != "masked_lm":
        table = load_vectors(vectors, vector_words=vector_words)
    provenance = {
        **_inputs_provenance(different, masked_lm, vectors),
        "k": k,
        "vector_words": vector_words,
        "context": context,
        "mask_share": mask_share,
        "protect": protect,
        "placeholders": placeholders,
        "stop_words": None if stop_words is None else sorted(stop_words),
        "shard_texts": shard_texts,
        "decode_tokens": settings.tokens_at_once,
        "precision": resolved,
        "packages": versions(),
    }
    if languages.found != (ENGLISH,):
        provenance["languages"] = list(languages.found)
    if word_share != 1:
        provenance["word_share"] = word_share
    if several_pieces != "vectors":
        provenance |= {"several_pieces": several_pieces, "beam": beam}
    device = compute_device()
    tokenizer = load_tokenizer(masked_lm)
    model = freeze(load_language_model(masked_lm), precision=resolved)
    torch.nn.Module.to(model, device)
    record_provenance(output, provenance)
    parts = shards(different, shard_texts=shard_texts)
    proposer = Proposer(
        settings=settings,
        tokenizer=tokenizer,
        model=model,
        vectors=table,
        languages=languages,
        word_share=word_share,
        precision=resolved,
    )
    with tqdm(total=len(different), unit="text", desc="propose") as bar:
        for number, part in enumerate(parts):
            write_candidates(partial(proposer.shard, part), shard_path(output, index=number, count=len(parts)))
            bar.update(len(part))
    return output


def _inputs_provenance(texts: Sequence[str], masked_lm: Path, vectors: str | Path | None) -> dict[str, Any]:
    """What the candidates are made from: the texts, the masked LM and the word vectors."""
    digest_of_texts = hashlib.blake2b("\0".join(texts).encode("utf-8", "surrogatepass"))
    model_files = [checksums(masked_lm, pattern) for pattern in MODEL_FILES]
    return {
        "texts": len(texts),
        "texts_digest": digest_of_texts.hexdigest()[:32],
        "masked_lm": str(masked_lm.resolve()),
        "masked_lm_sha256": {name: found for files in model_files for name, found in files.items()},
        "vectors": str(Path(vectors).resolve()) if vectors else None,
        "vectors_sha256": checksums(Path(vectors), "*") if vectors else None,
    }


def _settings(**given: Any) -> ProposeCandidates:
    """Raises: UserError for the first value that is none for its setting."""
    try:
        return ProposeCandidates(**given)
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        name = "k" if wrong["loc"][0] == "candidates" else wrong["loc"][0]
        said = wrong["msg"] if wrong["type"] == WRONG else f"{wrong['input']!r} does not fit: {wrong['msg']}"
        raise UserError(f"{name}: {said}") from None


def _model_folder(folder: Path) -> Path:
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} is no model: it is not a folder with a config.json")
    check_tokenizer(folder, model_shape(folder, "--masked-lm"))
    return folder
