import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.encoding import Encoded
from training.batches import collate, plan_batches

LENGTHS = st.lists(st.integers(min_value=3, max_value=384), min_size=1, max_size=300)


@given(LENGTHS, st.integers(0, 5))
def test_batches_hold_every_passage_once_and_keep_the_limits(lengths: list[int], seed: int) -> None:
    """No batch is over its tokens, padding included, unless one passage alone is."""
    batches = plan_batches(lengths, 1024, 16, np.random.default_rng(seed))
    assert list(range(len(lengths))) == sorted(index for batch in batches for index in batch)
    for batch in batches:
        assert 0 < len(batch) <= 16
        assert len(batch) == 1 or len(batch) * max(lengths[index] for index in batch) <= 1024


def test_grouping_by_length_saves_padding() -> None:
    """Little is computed on padding: at most a tenth here, where a random order wastes half."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(3, 200, size=500).tolist()
    grouped = plan_batches(lengths, 1024, 16, rng)
    assert sum(len(batch) * max(lengths[index] for index in batch) for batch in grouped) < 1.1 * sum(lengths)


def test_a_seed_gives_its_order() -> None:
    """The same seed deals the same batches, another one others."""
    lengths = list(range(3, 203))
    first, again, other = (plan_batches(lengths, 512, 8, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_collate_pads_to_the_longest() -> None:
    """Ids, mask and types line up; what is padded is masked."""
    passages = [
        Encoded(ids=np.array([101, 7, 102]), types=np.zeros(3, dtype=np.int64), truncated=False),
        Encoded(ids=np.array([101, 7, 102, 8, 102]), types=np.array([0, 0, 0, 1, 1]), truncated=False),
    ]
    batch = collate(passages, [1, 0])
    assert batch.input_ids.tolist() == [[101, 7, 102, 8, 102], [101, 7, 102, 0, 0]]
    assert batch.attention_mask.tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]
    assert batch.token_type_ids.tolist() == [[0, 0, 0, 1, 1], [0, 0, 0, 0, 0]]


def test_no_passages_no_batches() -> None:
    """An empty side has no batch at all."""
    assert plan_batches([], 1024, 16, np.random.default_rng(0)) == []
    with pytest.raises(ValueError, match="empty"):
        collate([], [])
