"""The classifier: passages in, calibrated scores and tags out. tokenizers and onnxruntime, nothing else.

    classifier = Classifier.load(Path("state/models/champion"))
    [result] = classifier.score([PassageIn(text="We urge the council to …")])
    result.tags, result.scores

One session with one intra-op thread, called by one scoring thread per core, each with one unpadded passage: a
passage's scores cannot depend on what it is scored beside. A passage that is alone may be given all cores, by a second
session, which gives the same scores.
"""

import math
import os
import sys
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from labels.sentences import sentence_spans
from serving.admission import MOST_SENTENCES, SENTENCE_CONTEXT_WORDS, estimated_tokens, refusal
from serving.bundle import BundleError, Decisions, Manifest, read_bundle
from serving.encoding import Encoded, Encoder
from serving.engine import load_session
from serving.model_input import model_input
from serving.results import ItemError, Options, Part, PassageIn, Result, Sentence
from serving.scheduler import DeadlineExceededError, Job, JobCancelledError, Scheduler

CANARY_TOLERANCE = 0.03
"""Largest difference to a canary's stored score: processors round int8 differently."""
INTERACTIVE_PASSAGES = 8
"""Up to so many passages, a caller is taken to be waiting for the answer …"""
_INTERACTIVE_TOKENS = 4096
"""… unless they are this much work."""
_CONTEXT_CHARS = 10_000
"""Only the end of a longer context is looked at: many times what fits beside a text."""
_PLAIN = Options()


class Classifier:
    """A loaded bundle. Thread-safe; `close` ends its scoring threads."""

    def __init__(
        self,
        manifest: Manifest,
        encoder: Encoder,
        session: onnxruntime.InferenceSession,
        scheduler: Scheduler,
        wide: onnxruntime.InferenceSession | None = None,
    ) -> None:
        """Use `Classifier.load`."""
        self.manifest = manifest
        self._encoder = encoder
        self._session = session
        self._wide = wide
        self._inputs = {entry.name for entry in session.get_inputs()}
        self.scheduler = scheduler
        weakref.finalize(self, scheduler.shut)  # one that is swapped out ends with the last request that holds it

    @classmethod
    def load(
        cls,
        folder: Path,
        threads: int | None = None,
        capacity: int = sys.maxsize,
        hang_seconds: float | None = None,
        lone_threads: int = 1,
        interactive_capacity: int | None = None,
    ) -> "Classifier":
        """Verify a bundle and load it. Raises BundleError.

        `threads` defaults to the cores of this process; `capacity` bounds the work that waits, in tokens, and
        `interactive_capacity` that of interactive jobs, where it is another; after
        `hang_seconds` a scoring thread that does not come back is given up (None: never). `lone_threads`: cores that a passage
        gets when it is alone; more than one takes the memory of a second session.
        """
        manifest = read_bundle(folder)
        try:
            session = load_session(folder / "model.onnx")
            wide = load_session(folder / "model.onnx", threads=lone_threads) if lone_threads > 1 else None
            encoder = Encoder.from_file(folder / "tokenizer.json", manifest.max_tokens)
        except Exception as error:  # both libraries raise bare exceptions of their own
            message = f"{folder}: cannot be loaded: {error}"
            raise BundleError(message) from error
        scheduler = Scheduler(threads or len(os.sched_getaffinity(0)), capacity, hang_seconds, interactive_capacity)
        classifier = cls(manifest, encoder, session, scheduler, wide)
        try:
            classifier.check_canaries()
        except BundleError:
            classifier.close()
            raise
        except Exception as error:  # a model of another shape, memory, threads: whatever it is, this bundle does not serve
            classifier.close()
            message = f"{folder}: its canaries cannot be scored: {type(error).__name__}: {error}"
            raise BundleError(message) from error
        return classifier

    def close(self) -> None:
        """End the scoring threads once their passages are done."""
        self.scheduler.close()

    def check_canaries(self) -> float:
        """Score the canaries; the largest difference to their stored scores. Raises BundleError over the tolerance."""
        worst = slowest = 0.0
        for canary in self.manifest.canaries:
            started = time.monotonic()
            result = self.score_one(PassageIn(text=canary.text, context=canary.context))
            slowest = max(slowest, time.monotonic() - started)
            if result.error:
                message = f"{self.manifest.name}: a canary cannot be scored: {result.error.detail}"
                raise BundleError(message)
            differences = [abs(a - b) for a, b in zip(result.scores.values(), canary.scores, strict=True)]
            worst = float(np.max([worst, *differences]))  # NaN if one of them is, where `max` would pass it over
        self.scheduler.learn(slowest)
        if not worst <= CANARY_TOLERANCE:
            message = f"{self.manifest.name}: a canary's score differs by {worst:.3f} (allowed: {CANARY_TOLERANCE})"
            raise BundleError(message)
        return worst

    def score(
        self,
        passages: Sequence[PassageIn],
        options: Options = _PLAIN,
        *,
        deadline: float | None = None,
    ) -> list[Result]:
        """Score passages on all scoring threads, order kept; a passage that cannot be scored has `error`.

        `deadline` is a time of `time.monotonic()`, checked before each passage and part, and at the end. Raises
        DeadlineExceededError when it has passed.
        """
        job = self.submit(passages, options, deadline=deadline)
        try:
            results: list[Result] = job.wait()
            _check(deadline)
        except BaseException:
            self.scheduler.cancel(job)
            raise
        return results

    def submit(
        self,
        passages: Sequence[PassageIn],
        options: Options = _PLAIN,
        *,
        bulk: bool = False,
        deadline: float | None = None,
        on_done: Callable[[], None] | None = None,
    ) -> Job:
        """Queue passages; `wait` of what is returned gives their results. Raises QueueFullError.

        More than `INTERACTIVE_PASSAGES` passages, or few very long ones, are bulk work in any case; `bulk` says that these few
        are a piece of some. `on_done` is called from a scoring thread when the job has ended.
        """
        tokens = sum(estimated_tokens(passage, sentences=options.sentences) for passage in passages)
        jobs: list[Job] = []

        def dropped() -> bool:
            return bool(jobs) and jobs[0].done.is_set()

        job = self.scheduler.submit(
            lambda index: self.score_one(passages[index], options, deadline, dropped),
            len(passages),
            tokens,
            interactive=not bulk and len(passages) <= INTERACTIVE_PASSAGES and tokens <= _INTERACTIVE_TOKENS,
            deadline=deadline,
            on_done=on_done,
        )
        jobs.append(job)
        return job

    def score_one(
        self,
        passage: PassageIn,
        options: Options = _PLAIN,
        deadline: float | None = None,
        dropped: Callable[[], bool] | None = None,
    ) -> Result:
        """Score one passage on the calling thread. Raises DeadlineExceededError, JobCancelledError once `dropped` says so."""
        _check(deadline)
        if error := refusal(passage):
            return Result(error=error)
        passage = replace(passage, context=passage.context[-_CONTEXT_CHARS:])
        cleaned = model_input(passage.text, passage.context)
        encoded = self._encoder.encode(cleaned)
        if encoded.empty:
            return Result(error=ItemError(code="empty", detail="the passage holds no text once its marks are taken off"))
        if not encoded.truncated or options.long == "truncate":
            logits, tokens = self._logits(encoded), len(encoded.ids)
            result = self._decide(logits, options, tokens=tokens, truncated=encoded.truncated)
        elif options.long == "split":
            result = self._score_parts(passage, options, deadline, dropped)
        else:
            tokens, limit = self._encoder.count(cleaned.text), self._encoder.max_text_tokens
            detail = f'{tokens} tokens, at most {limit} are allowed; set "long" to "truncate" or "split"'
            return Result(error=ItemError(code="too_long", detail=detail))
        if options.sentences and not result.error:
            return self._carried(passage, result, deadline, dropped)
        return result

    def _score_parts(
        self, passage: PassageIn, options: Options, deadline: float | None, dropped: Callable[[], bool] | None
    ) -> Result:
        parts: list[Part] = []
        for start, end in self._encoder.split(passage.text):
            result = self._score_span(passage, start, end, options, deadline, dropped)
            if result is None:
                continue
            if result.error:
                return result
            piece = Part(
                start=start, end=end, tags=result.tags, scores=result.scores, logits=result.logits, tokens=result.tokens
            )
            parts.append(piece)
        highest = np.max(np.array([part.logits for part in parts]), axis=0)
        return self._decide(highest, options, tokens=sum(part.tokens for part in parts), truncated=False, parts=parts)

    def _carried(
        self, passage: PassageIn, result: Result, deadline: float | None, dropped: Callable[[], bool] | None
    ) -> Result:
        """The result with, for each tag given, the sentence that has the highest score of it when it is read alone.

        Against the annotators' evidence spans as good as what a passage's score loses without the sentence, and clearer.
        """
        found: dict[str, Sentence] = {}
        tokens = 0
        near = replace(passage, context=" ".join(passage.context.split()[-SENTENCE_CONTEXT_WORDS:])[-_CONTEXT_CHARS // 10 :])
        for start, end in self._sentences(passage.text, result) if result.tags else ():
            alone = self._score_span(near, start, end, _PLAIN, deadline, dropped)
            if alone is None or alone.error:
                continue
            tokens += alone.tokens
            for tag in result.tags:
                if tag not in found or alone.scores[tag] > found[tag].score:
                    found[tag] = Sentence(start=start, end=end, score=alone.scores[tag])
        return replace(result, sentences=found, extra_tokens=tokens)

    def _sentences(self, text: str, result: Result) -> list[tuple[int, int]]:
        """Spans of what was read of a text: its sentences, or of more than `MOST_SENTENCES` a few at a time.

        Of a split passage the sentences of the part that scores highest for each tag.
        """
        if result.parts:
            parts = result.parts
            best = {max(range(len(parts)), key=lambda index, tag=tag: parts[index].scores[tag]) for tag in result.tags}  # type: ignore[misc]  # of a default
            return [
                span
                for index in sorted(best)
                for span in sentence_spans(text, parts[index].start, parts[index].end, MOST_SENTENCES)
            ]
        end = len(text)
        if result.truncated:
            end = self._encoder.split(text)[0][1]
        return sentence_spans(text, 0, end, MOST_SENTENCES)

    def _score_span(
        self,
        passage: PassageIn,
        start: int,
        end: int,
        options: Options,
        deadline: float | None,
        dropped: Callable[[], bool] | None,
    ) -> Result | None:
        """Score a piece of a passage's text; None when nothing of it is left once its marks are taken off."""
        _check(deadline)
        if dropped and dropped():
            raise JobCancelledError
        encoded = self._encoder.encode(model_input(passage.text[start:end], passage.context))
        if encoded.empty:
            return None
        return self._decide(self._logits(encoded), options, tokens=len(encoded.ids), truncated=encoded.truncated)

    def _logits(self, encoded: Encoded) -> NDArray[np.float64]:
        feeds = {
            "input_ids": encoded.ids[None, :],
            "attention_mask": np.ones((1, len(encoded.ids)), dtype=np.int64),
            "token_type_ids": encoded.types[None, :],
        }
        with self.scheduler.passing():
            session = self._wide if self._wide and self.scheduler.alone else self._session
            [logits] = session.run(None, {name: array for name, array in feeds.items() if name in self._inputs})
        return np.asarray(logits[0], dtype=np.float64)

    def _decide(
        self,
        logits: NDArray[np.float64],
        options: Options,
        *,
        tokens: int,
        truncated: bool,
        parts: list[Part] | None = None,
    ) -> Result:
        if not np.isfinite(logits).all():
            return Result(error=ItemError(code="not_finite", detail="the model gave a score that is not a number"))
        tags, decisions, chosen = self.manifest.tags, self.manifest.decisions, options.thresholds
        scores = calibrated(logits, decisions)
        limits = [chosen.get(tag, limit) for tag, limit in zip(tags, decisions.thresholds, strict=True)]
        bands = zip(tags, scores, decisions.review, strict=True)
        return Result(
            tags=[tag for tag, score, limit in zip(tags, scores, limits, strict=True) if score >= limit],
            scores=dict(zip(tags, scores, strict=True)),
            logits=[float(value) for value in logits],
            review=[tag for tag, score, (low, high) in bands if tag not in chosen and low <= score <= high],
            tokens=tokens,
            truncated=truncated,
            parts=parts,
        )


def calibrated(logits: Sequence[float] | NDArray[np.float64], decisions: Decisions) -> list[float]:
    """Scores of one passage's logits, both in tag order."""
    return [
        _sigmoid(float(logit) / decisions.temperature + offset) for logit, offset in zip(logits, decisions.offsets, strict=True)
    ]


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value)) if value >= 0 else (power := math.exp(value)) / (1 + power)


def _check(deadline: float | None) -> None:
    if deadline is not None and time.monotonic() > deadline:
        message = "the deadline has passed"
        raise DeadlineExceededError(message)
