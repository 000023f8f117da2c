import pickle

import pytest

from storage.credentials import CredentialError, Reference, environment, reference_of, references, resolve
from storage.folder import Folder

OPTIONS = {
    "key": {"env": "CAM_KEY"},
    "anon": False,
    "client_kwargs": {"headers": {"Authorization": {"block": "cam-token"}}, "list": [1, {"env": "CAM_KEY"}]},
}


def test_references_are_replaced_at_any_depth_and_nothing_else():
    resolved = resolve(OPTIONS, lambda reference: f"<{reference.kind} {reference.name}>")
    assert resolved == {
        "key": "<env CAM_KEY>",
        "anon": False,
        "client_kwargs": {"headers": {"Authorization": "<block cam-token>"}, "list": [1, "<env CAM_KEY>"]},
    }
    key = Reference("env", "CAM_KEY")
    assert references(OPTIONS) == [key, Reference("block", "cam-token"), key]
    assert OPTIONS["key"] == {"env": "CAM_KEY"}


def test_the_environment_knows_variables_only(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CAM_KEY", "hunter2")
    assert environment(Reference("env", "CAM_KEY")) == "hunter2"
    monkeypatch.setenv("CAM_KEY", "")
    with pytest.raises(CredentialError, match="variable CAM_KEY is not set; set it where this runs"):
        environment(Reference("env", "CAM_KEY"))
    with pytest.raises(CredentialError, match=r'secret \{ block = "cam-token" \} is a Prefect block'):
        environment(Reference("block", "cam-token"))


@pytest.mark.parametrize("value", [{"env": "A", "block": "b"}, {"env": 1}, {"env": ""}, {"env": "A B"}, {"block": "A"}])
def test_what_only_looks_like_a_reference_is_refused(value: dict):
    with pytest.raises(ValueError, match="name of an environment variable"):
        reference_of(value)


def test_an_opened_folder_is_pickled_and_shown_without_its_secret(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CAM_KEY", "hunter2")
    folder = Folder("memory://x", {"mine": {"env": "CAM_KEY"}})
    assert folder.names() == []
    assert "hunter2" not in repr(folder)
    assert b"hunter2" not in pickle.dumps(Folder("memory://x", {"mine": {"env": "CAM_KEY"}}))
