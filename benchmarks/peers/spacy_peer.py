"""spaCy's text categorizer for several labels in its default architecture, trained from a blank pipeline.

usage: spacy_peer.py INPUT OUTPUT
"""

import json
import random
import sys
from pathlib import Path

import numpy as np
import spacy
from spacy.training import Example
from spacy.util import fix_random_seed, minibatch

EPOCHS = 10

source, target = map(Path, sys.argv[1:])
data = json.loads(source.read_text(encoding="utf-8"))
fix_random_seed(data["seed"])
nlp = spacy.blank("en")
categorizer = nlp.add_pipe("textcat_multilabel")
for name in data["tags"]:
    categorizer.add_label(name)  # type: ignore[attr-defined]
examples = [
    Example.from_dict(nlp.make_doc(row["text"]), {"cats": dict(zip(data["tags"], row["targets"], strict=True))})
    for row in data["train"]
]
optimizer = nlp.initialize(lambda: examples[:500])
for _ in range(EPOCHS):
    random.shuffle(examples)
    for batch in minibatch(examples, size=32):
        nlp.update(batch, sgd=optimizer, drop=0.1)
chances = np.array([[doc.cats[name] for name in data["tags"]] for doc in nlp.pipe(data["test"])])
chances = np.clip(chances, 1e-6, 1 - 1e-6)
target.write_text(json.dumps(np.log(chances / (1 - chances)).tolist()), encoding="utf-8")
