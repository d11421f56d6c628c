"""Bundles for tests and benchmarks of the registry."""

from dataclasses import replace
from pathlib import Path
from shutil import copyfile

from serving.bundle import FILES, read_bundle, write_bundle


def variants(source: Path, models: Path, number: int) -> list[str]:
    """Bundles that differ in a threshold, whole and with right canaries."""
    manifest = read_bundle(source)
    names = []
    for index in range(number):
        folder = models / ".making" / "bundle"
        folder.mkdir(parents=True)
        for name in FILES:
            copyfile(source / name, folder / name)
        thresholds = [round(0.3 + 0.01 * index, 2), *manifest.decisions.thresholds[1:]]
        decisions = replace(manifest.decisions, thresholds=thresholds)
        names.append(write_bundle(models, folder, replace(manifest, decisions=decisions)).name)
    return names
