"""What a model has seen, also through others: its encoder, its teacher, the generator of its samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from dermae_bench.plugin.checking import Finding
from dermae_bench.suite.lineage import Lineage
from dermae_bench.suite.places import SPLITS, specs

Seen = tuple[frozenset[str], frozenset[str]]
"""(real splits, generators)."""


def behind_images(suite: Mapping[str, Any], names: Any) -> Seen:
    """Everything that stands behind some image sets: their real splits, and those their generators were fitted on.

    Args:
        suite: normalised JSON of the suite.
        names: one image set or a list of them.
    """
    lineage = Lineage(suite)
    splits, left = (set(found) for found in lineage.of(names))
    generators: set[str] = set()
    while left:
        name = left.pop()
        generators.add(name)
        images = (lineage.generators.get(name) or {}).get("images")
        real, drawn = lineage.of(images)
        splits |= real
        left |= set(drawn) - generators
    return frozenset(splits), frozenset(generators)


def behind_generator(suite: Mapping[str, Any], name: str) -> Seen:
    """Everything that a generator was fitted on, itself included among the generators."""
    splits, generators = behind_images(suite, (suite["generators"][name] or {}).get("images"))
    return splits, generators | {name}


def behind_classifier(suite: Mapping[str, Any], name: str, train: str | Sequence[str]) -> Seen:
    """Everything that a classifier learnt from when it is fitted on `train`."""
    sets = [train if isinstance(train, str) else list(train)]
    sets += [names for _, names in seen_through_others(suite, name)]
    found = [behind_images(suite, names) for names in sets]
    generators = frozenset[str]().union(*(generators for _, generators in found))
    source = suite["classifiers"][name].get("from")
    if isinstance(source, Mapping):
        generators |= {str(source["generator"])}
    return frozenset[str]().union(*(splits for splits, _ in found)), generators


def seen_through_others(suite: Mapping[str, Any], classifier: Any) -> Iterator[tuple[str, Any]]:
    """(through whom, image sets) that a classifier learns from besides its own training set, at any depth."""
    visited: set[str] = set()
    while (entry := _spec(suite, "classifiers", classifier)) is not None and classifier not in visited:
        visited.add(classifier)
        encoder = _spec(suite, "pretrained", entry.get("init"))
        if encoder is not None:
            yield f"its encoder {entry['init']!r}", encoder.get("images")
        source, teacher = entry.get("from"), entry.get("teacher")
        name = source.get("generator") if isinstance(source, dict) else None
        generator = _spec(suite, "generators", name)
        if generator is not None:
            yield f"the generator {name!r}", generator.get("images")
        if not isinstance(teacher, dict):
            return
        classifier = teacher.get("classifier")
        yield f"its teacher {classifier!r}", teacher.get("train")


def _spec(suite: Mapping[str, Any], section: str, name: Any) -> Mapping[str, Any] | None:
    held = suite.get(section)
    entry = held.get(name) if isinstance(held, dict) and isinstance(name, str) else None
    return entry if isinstance(entry, dict) else None


def behind_extractor(suite: Mapping[str, Any], name: str) -> Seen:
    """Everything that an extractor learnt from or was chosen on in this suite; nothing for one that is a plugin."""
    source = (suite["extractors"][name] or {}).get("from")
    if not isinstance(source, Mapping):
        return frozenset(), frozenset()
    name = str(source["classifier"])
    splits, generators = behind_classifier(suite, name, source["train"])
    return splits | _selected(suite, name), generators | joint_with(suite, name)


def joint_with(suite: Mapping[str, Any], classifier: Any) -> frozenset[str]:
    """The generators that a classifier, or one that it learns from, is a half of.

    The two halves shape each other: with gating, the classifier learns from what the generator draws, and the generator
    from what the classifier says of it. So neither may judge the other.
    """
    found, visited = set[str](), set[str]()
    while (entry := _spec(suite, "classifiers", classifier)) is not None and classifier not in visited:
        visited.add(classifier)
        source, teacher = entry.get("from"), entry.get("teacher")
        if isinstance(source, dict) and isinstance(source.get("generator"), str):
            found.add(source["generator"])
        classifier = teacher.get("classifier") if isinstance(teacher, dict) else None
    return frozenset(found)


def extractor_findings(suite: Mapping[str, Any]) -> Iterator[Finding]:
    """Extractors that have seen what they compare: images that generators are measured to, or generated ones.

    A network recognises what it was fitted on: its features of those images are another distribution than those of
    unseen ones, and a distance to them is no distance between generated and real images.
    """
    for at, entry in specs(suite, "extractors"):
        source = entry.get("from")
        if not isinstance(source, dict) or _spec(suite, "classifiers", source.get("classifier")) is None:
            continue
        place, train = (*at, "from", "train"), source.get("train")
        if not isinstance(train, str):
            # told as such elsewhere
            continue
        splits, generators = behind_extractor(suite, str(at[-1]))
        if generators:
            message = (
                f"an extractor may only have seen real images; this one learns from samples of {_names(generators)}"
            )
            halves = joint_with(suite, source["classifier"])
            if halves:
                message = f"{source['classifier']!r} is no extractor: it is trained together with {_names(halves)}"
                yield Finding((*at, "from", "classifier"), message, "name a classifier that is trained alone")
            else:
                yield Finding(place, message, "train: train")
        for row, line in specs(suite, "generator_rows"):
            against = line.get("against")
            if against in splits and _asked(suite, str(at[-1])):
                message = f"extractor {at[-1]!r} was fitted on {against!r}, which these rows are measured to"
                free = [split for split in SPLITS if split not in splits]
                yield Finding(
                    (*row, "against"), message, f"measure to images it never saw: {_names(free) or 'none left'}"
                )


def _selected(suite: Mapping[str, Any], classifier: Any) -> frozenset[str]:
    """`val`, where the weights of a classifier, or of anything that it learns from, are chosen on it."""
    visited: set[str] = set()
    while (entry := _spec(suite, "classifiers", classifier)) is not None and classifier not in visited:
        visited.add(classifier)
        source, teacher = entry.get("from"), entry.get("teacher")
        joint = _spec(suite, "generators", source.get("generator") if isinstance(source, dict) else None)
        encoder = _spec(suite, "pretrained", entry.get("init"))
        for fitted in (entry, joint or {}, encoder or {}):
            budget = _spec(suite, "budgets", fitted.get("budget")) or {}
            if str(budget.get("select", "last")).startswith("best:"):
                return frozenset({"val"})
        classifier = teacher.get("classifier") if isinstance(teacher, dict) else None
    return frozenset()


def _asked(suite: Mapping[str, Any], extractor: str) -> bool:
    return any(entry.get("extractor") == extractor for _, entry in specs(suite, "sample_metrics"))


def _names(found: Iterable[str]) -> str:
    return ", ".join(sorted(found))


def judge_findings(suite: Mapping[str, Any]) -> Iterator[Finding]:
    """Judges that have seen generated images through an encoder or a teacher."""
    lineage = Lineage(suite)
    for at, entry in specs(suite, "sample_metrics"):
        judge = entry.get("judge")
        if isinstance(judge, dict):
            halves = joint_with(suite, judge.get("classifier"))
            if halves:
                message = f"{judge['classifier']!r} is no judge: it is trained together with {_names(halves)}"
                yield Finding((*at, "judge", "classifier"), message, "name a classifier that is trained alone")
            for how, names in seen_through_others(suite, judge.get("classifier")):
                seen = lineage.of(names)[1]
                if seen:
                    message = (
                        f"a judge may only have seen real images; {judge['classifier']!r} learns from samples of "
                        f"{', '.join(sorted(seen))} through {how}"
                    )
                    yield Finding((*at, "judge", "classifier"), message, "choose a classifier without it")
