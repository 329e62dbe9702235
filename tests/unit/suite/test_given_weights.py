"""Weights by name: they are the same file in every key, a wrong file is told, and what they saw is known."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_catalog import FakeCard, FakeCatalog, tasks_of

from dermae_bench.errors import PluginError, SuiteError
from dermae_bench.plugin.cardmaker import make_card
from dermae_bench.plugin.params import File, Folder, schema_of
from dermae_bench.suite.load import LoadedSuite, load_suite, settings_digest
from dermae_bench.suite.resolved import suite_to_yaml
from dermae_bench.suite.weights import (
    KNOWN_CORPORA,
    collections_of,
    declared_corpora,
    other_collections,
    shared_collections,
)

SMALL = Path(__file__).parent / "good_small.yaml"
CONTENT = b"weights are not read here"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "net.pth").write_bytes(CONTENT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(here: Path, weights: Any, given: Any = "net", **options: Any) -> LoadedSuite:
    suite = yaml.safe_load(SMALL.read_text())
    suite["weights"] = weights
    suite["generators"]["ddpm"]["params"] = {"weights": given}
    suite["presets"] = {"other": {"weights": {"net": {"path": "data/other.pth"}}}}
    path = here / "suite.yaml"
    path.write_text(yaml.safe_dump(suite, sort_keys=False))
    return load_suite(path, catalog=FakeCatalog(), tasks_of=tasks_of, **options)


def problems(here: Path, weights: Any, given: Any = "net", **options: Any) -> list[str]:
    with pytest.raises(SuiteError) as caught:
        load(here, weights, given, **options)
    return [str(problem) for problem in caught.value.problems]


def given_to(loaded: LoadedSuite) -> Any:
    return loaded.suite.generators["ddpm"].params["weights"]


def test_a_name_stands_for_its_path(here: Path) -> None:
    loaded = load(here, {"net": {"path": "data/net.pth", "sha256": SHA256.upper(), "licence": "MIT"}})
    assert given_to(loaded) == "data/net.pth"
    by_path = load(here, {"net": {"path": "data/net.pth"}}, "data/net.pth")
    assert loaded.suite.generators == by_path.suite.generators
    (param,) = [given for given in loaded.paths if given.at[0] == "generators"]
    assert (param.kind, param.text, param.absolute) == ("file", "net", here / "data" / "net.pth")
    assert [given.at for given in loaded.paths if given.at[0] == "weights"] == [("weights", "net", "path")]


def test_presets_and_settings_reach_the_file_behind_a_name(here: Path) -> None:
    weights = {"net": {"path": "data/net.pth"}}
    assert given_to(load(here, weights, preset="other")) == "data/other.pth"
    moved = load(here, weights, sets=["weights.net.path=data/moved.pth"])
    assert given_to(moved) == "data/moved.pth"
    # only a path has changed, so the results folder keeps its name
    assert settings_digest(moved) is None
    named = load(here, weights, None, sets=["generators.ddpm.params.weights=net"])
    assert given_to(named) == "data/net.pth"
    assert settings_digest(named) is not None


def test_a_path_stays_a_path_and_unused_entries_are_fine(here: Path) -> None:
    weights = {"net": {"path": "nowhere.pth", "sha256": SHA256}, "unused": {"path": "nowhere/else.pth"}}
    for text in ("data/net.pth", "data/lost.pth", "lost.pth", "something"):
        assert given_to(load(here, weights, text)) == text
    # the file named like an entry is given by its folder
    (here / "net").write_bytes(b"x")
    assert given_to(load(here, weights, "net")) == "nowhere.pth"
    assert given_to(load(here, weights, "./net")) == "./net"


def test_only_files_are_named(here: Path) -> None:
    loaded = load(here, {"data": {"path": "data/net.pth"}}, None, sets=["dataset.params.root=data"])
    assert loaded.suite.dataset.params["root"] == "data"


def test_a_wrong_file_is_told_with_both_digests_and_what_to_do(here: Path) -> None:
    (one,) = problems(here, {"net": {"path": "data/net.pth", "sha256": "ab" * 32}})
    assert f"has the SHA-256 {SHA256[:12]}..., not abababababab..." in one
    assert "sha256sum FILE" in one
    assert "suite.yaml:" in one
    (other,) = problems(here, {"net": {"path": "data/net.pth", "sha256": SHA256}}, file_digest=lambda path: "0" * 64)
    assert "has the SHA-256 000000000000..." in other


def test_what_is_no_digest_and_no_name(here: Path) -> None:
    (one,) = problems(here, {"net": {"path": "nowhere.pth", "sha256": "6726825d"}})
    assert "'6726825d' is no SHA-256" in one
    (one,) = problems(here, {"network-b": {"path": "data/net.pth"}}, "netwrk-b")
    assert "there is no file 'netwrk-b'" in one
    assert "did you mean 'network-b'?" in one
    (one,) = problems(here, {"a net": {"path": "data/net.pth"}}, None)
    assert "'a net' cannot be a name" in one


def test_a_file_that_cannot_be_read_is_told(here: Path) -> None:
    def refuse(path: Path) -> str:
        raise PermissionError(13, "Permission denied", path.name)

    (one,) = problems(here, {"net": {"path": "data/net.pth", "sha256": SHA256}}, file_digest=refuse)
    assert "the weights 'net' cannot be read: [Errno 13] Permission denied" in one
    (one,) = problems(here, {"net": {"path": "data", "sha256": SHA256}})
    assert "the weights 'net' are a folder" in one
    (one,) = problems(here, {"net": {"path": "n" * 300, "sha256": SHA256}})
    assert "is too long for a path" in one


def test_the_resolved_suite_keeps_the_name_and_loads_to_the_same(here: Path) -> None:
    weights = {"net": {"path": str(here / "data" / "net.pth"), "sha256": SHA256, "corpora": ["ISIC 2019"]}}
    text = suite_to_yaml(load(here, weights))
    assert str(here) not in text
    read = yaml.safe_load(text)
    assert read["generators"]["ddpm"]["params"]["weights"] == "net"
    assert read["weights"]["net"]["path"] == "data/net.pth"
    (here / "again.yaml").write_text(text)
    again = load_suite(here / "again.yaml", catalog=FakeCatalog(), tasks_of=tasks_of)
    assert given_to(again) == "data/net.pth"
    assert suite_to_yaml(again) == text


# -- corpora -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Optional:
    weights: File | None = None
    features: File | None = None
    root: Folder | None = None
    share: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Required:
    weights: File


@dataclass(frozen=True, kw_only=True)
class Given:
    file: File
    corpora: tuple[str, ...] | None = None


class Declaring(FakeCatalog):
    """Plugins that bring weights (`own`), now and then (`perhaps`) or never (`empty`), and one that was written for a
    certain file (`port`)."""

    def card(self, kind: str, name: str) -> FakeCard:
        some = {"empty": {}, "perhaps": {"corpora_with": {"share": ["ImageNet-1k"]}}}
        corpora = some.get(name, {"corpora": ["ImageNet-1k"]})
        if name == "given":
            return FakeCard(kind=kind, params=schema_of(Given), flags={"fits": False, "corpora": ["ImageNet-1k"]})
        contained = {"contained_in": ["HAM10000", "ISIC 2019"], "test_contained_in": {"root": ["ISIC 2018"]}}
        flags = contained if kind == "dataset" else corpora
        return FakeCard(kind=kind, params=schema_of(Required if name == "port" else Optional), flags=flags)


def declared(plugin: str, **params: Any) -> Any:
    weights = {
        "ours": {"path": "data/ours.pth", "corpora": ["ISIC 2019", "BCN20000"]},
        "blank": {"path": "data/blank.pth", "corpora": []},
        "untold": {"path": "data/untold.pth"},
    }
    suite = {"weights": weights, "extractors": {"it": {"plugin": plugin, "params": params}}}
    return declared_corpora(suite, Declaring())["extractors"]["it"]


def test_what_given_weights_were_trained_on() -> None:
    ours, own = ("ours", ("ISIC 2019", "BCN20000")), ("ImageNet-1k",)
    assert declared("empty") == []
    assert declared("empty", weights="data/ours.pth") == declared("empty", weights="ours") == [ours]
    assert declared("empty", weights="blank", features="untold") == [("blank", ()), ("untold", None)]
    # a folder that a model reads holds weights as well: of several files
    two = declared("empty", weights="folder/else.pth", root="data/FLUX.1-dev")
    assert sorted(two) == [("FLUX.1-dev", None), ("else.pth", None)]
    # weights of its own stand in wherever a file is left out
    assert declared("own") == [("own", own)]
    assert declared("own", weights="ours") == [("own", own), ours]
    assert declared("own", weights="ours", features="else.pth") == [ours, ("else.pth", None)]
    # weights that a plugin brings only under one of its options
    assert declared("perhaps") == declared("perhaps", share=0.0) == []
    assert declared("perhaps", share=0.1) == [("perhaps", own)]
    # what cannot do without a file says what that file saw, until the user does
    assert declared("port", weights="folder/else.pth") == [("port", own)]
    assert declared("port", weights="ours") == [ours]


def test_what_was_given_elsewhere_was_trained_on_what_its_user_says() -> None:
    # its files are no weights, and what other plugins declare by themselves is no answer
    assert declared("given", file="answers.csv") == [("given", None)]
    assert declared("given", file="ours", corpora=None) == [("given", None)]
    assert declared("given", file="answers.csv", corpora=[]) == [("given", ())]
    assert declared("given", file="answers.csv", corpora=["ISIC 2019"]) == [("given", ("ISIC 2019",))]


def test_every_named_entry_has_an_answer(here: Path) -> None:
    loaded = load(here, {"net": {"path": "data/net.pth", "corpora": ["ISIC 2019"]}})
    found = declared_corpora(loaded.resolved, FakeCatalog())
    assert found == {
        "generators": {"ddpm": [("net", ("ISIC 2019",))], "guided": []},
        "pretrained": {},
        "classifiers": {"cnn": []},
        "extractors": {"lite0": []},
    }
    assert declared_corpora(yaml.safe_load(suite_to_yaml(loaded)), FakeCatalog()) == found


def test_which_collections_hold_the_images_of_each_split() -> None:
    def collections(**params: Any) -> Any:
        return collections_of({"dataset": {"plugin": "any", "params": params}}, Declaring())

    real = ("HAM10000", "ISIC 2019")
    assert collections(root=None) == {"train": real, "val": real, "test": real}
    assert collections(root="official") == {"train": real, "val": real, "test": ("ISIC 2018",)}
    assert collections(contained_in=["Ours"])["test"] == (*real, "Ours")
    others = {"plain": {"plugin": "any", "params": {}}, "official": {"plugin": "any", "params": {"root": "official"}}}
    assert other_collections({"evaluate_on": others}, Declaring()) == {"plain": real, "official": ("ISIC 2018",)}


def test_collections_meet_whatever_their_spelling() -> None:
    assert shared_collections(["isic2019", "Imagenet 1K"], ["HAM10000", "ISIC 2019"]) == ("ISIC 2019",)
    assert shared_collections(["ISIC 2018"], ["ISIC 2018 Task 3 test"]) == ()
    folded = {name: shared_collections([name], KNOWN_CORPORA) for name in KNOWN_CORPORA}
    assert folded == {name: (name,) for name in KNOWN_CORPORA}


def test_the_document_lists_the_collections_that_have_one_spelling() -> None:
    text = (Path(__file__).parents[3] / "docs" / "splits.md").read_text()
    assert all(f"| {name} | {what} |" in text for name, what in KNOWN_CORPORA.items())


PLUGIN = """
from dataclasses import dataclass
from dermae_bench import api

class Data(api.Dataset):
    @dataclass(frozen=True, kw_only=True)
    class Config:
        image_size: int = 8
    contained_in = {contained_in}
    tasks = examples = split_rule = None

@api.hookimpl
def dermae_datasets():
    return {{"data": Data}}
"""


def test_cards_carry_what_datasets_declare(tmp_path: Path) -> None:
    ham = {"name": "ham10000", "module": "dermae_bench.builtin.datasets.ham10000", "file": None}
    flags = make_card(ham)["flags"]
    assert {"HAM10000", "ISIC 2019"} <= set(flags["contained_in"]) <= KNOWN_CORPORA.keys()
    assert set(flags["test_contained_in"]["test_root"]) <= KNOWN_CORPORA.keys()
    isic = {"name": "isic", "module": "dermae_bench.builtin.datasets.isic", "file": None}
    collections = make_card(isic)["flags"]["contained_in"]
    assert set(collections) <= KNOWN_CORPORA.keys()
    # as docs/splits.md says of a model that was fitted on the one and is scored on the other
    shared = ("HAM10000", "ISIC 2018", "ISIC 2019", "ISIC Archive")
    assert shared_collections(flags["contained_in"], [name for name in shared if name in collections]) == shared
    assert set(shared_collections(flags["contained_in"], collections)) == set(shared)
    for number, declared_in in enumerate(('("ISIC 2019",)', '"ISIC 2019"')):
        file = tmp_path / f"data{number}.py"
        file.write_text(PLUGIN.format(contained_in=declared_in))
        ask = {"name": "data", "module": file.stem, "file": str(file)}
        if number == 0:
            assert make_card(ask)["flags"]["contained_in"] == ["ISIC 2019"]
        else:
            with pytest.raises(PluginError, match=r"Data.contained_in must be a tuple of names, not 'ISIC 2019'"):
                make_card(ask)


@pytest.mark.slow
def test_a_card_says_which_option_brings_weights() -> None:
    ask = {"name": "ddpm-conditional", "module": "dermae_plugins.generators.ddpm_conditional", "file": None}
    assert make_card(ask)["flags"]["corpora_with"] == {"perceptual_weight": ["ImageNet-1k"]}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "module"), [("tf-efficientnet-lite0", "efficientnet_lite0"),
                                              ("inception-v3-tf", "inception_v3_tf")])  # fmt: skip
def test_cards_of_the_extractors_say_what_they_were_trained_on(name: str, module: str) -> None:
    ask = {"name": name, "module": f"dermae_bench.builtin.extractors.{module}", "file": None}
    assert make_card(ask)["flags"]["corpora"] == ["ImageNet-1k"]
