from __future__ import annotations

import hashlib
import os
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from torch import Tensor

from scmnet_cli import weights
from scmnet_cli.cli.main import main
from scmnet_cli.errors import ScmError
from scmnet_cli.system.downloads import download
from scmnet_cli.weights import (
    BACKBONES,
    Backbone,
    backbone_shapes,
    fetch_backbone,
    fetch_command,
    find_backbone,
    load_backbone,
    verify_backbone,
)

FIRST_BLOCK = ["features.0.weight", "features.0.bias", "features.2.weight", "features.2.bias"]


@pytest.fixture(autouse=True)
def _nothing_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch_home"))
    monkeypatch.delenv("SCM_WEIGHTS", raising=False)


def first_block(name: str = "vgg16") -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = backbone_shapes(name)
    return {key: torch.randn(shapes[key], generator=generator) for key in FIRST_BLOCK}


def save(folder: Path, file: str, state: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(state, folder / file)
    return folder / file


@pytest.mark.parametrize("name", ["vgg16", "vgg19", "alexnet"])
def test_the_expected_shapes_equal_torchvisions(name: str) -> None:
    import torchvision

    with torch.device("meta"):
        network = getattr(torchvision.models, name)(weights=None)
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items() if key.startswith("features.")}
    assert backbone_shapes(name) == shapes


@pytest.mark.parametrize(("name", "enum"), [("vgg19", "VGG19"), ("vgg16", "VGG16"), ("alexnet", "AlexNet")])
def test_a_file_downloaded_by_torchvision_is_found(name: str, enum: str) -> None:
    import torchvision

    url = torchvision.models.get_weight(f"{enum}_Weights.IMAGENET1K_V1").url
    path = save(Path(torch.hub.get_dir()) / "checkpoints", url.rsplit("/", 1)[1], {})
    assert find_backbone(name) == path
    assert BACKBONES[name].url == url
    assert url.rsplit("/", 1)[1] == BACKBONES[name].file


def test_the_option_takes_precedence_over_the_variable_and_the_variable_over_downloads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, variable = tmp_path / "given", tmp_path / "variable"
    monkeypatch.setenv("SCM_WEIGHTS", str(variable))
    downloaded = save(Path(torch.hub.get_dir()) / "checkpoints", "vgg16-397923af.pth", {})
    given.mkdir()
    assert find_backbone("vgg16", given) == downloaded
    from_variable = save(variable, "vgg16-features-fp16.pth", {})
    assert find_backbone("vgg16", given) == from_variable
    from_given = save(given, "vgg16-features-fp16.pth", {})
    assert find_backbone("vgg16", given) == from_given


def test_missing_weights_are_a_one_line_error_with_file_folders_and_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCM_WEIGHTS", str(tmp_path / "variable"))
    with pytest.raises(ScmError) as caught:
        find_backbone("vgg19", tmp_path)
    text = str(caught.value)
    assert "\n" not in text
    assert "vgg19-dcbb9e9d.pth" in text
    for folder in (tmp_path, tmp_path / "variable", tmp_path / "torch_home" / "hub" / "checkpoints"):
        assert f"{folder} (" in text
    assert fetch_command("vgg19") in text


def test_a_missing_folder_is_an_error_even_if_another_has_the_file(tmp_path: Path) -> None:
    save(Path(torch.hub.get_dir()) / "checkpoints", "vgg16-397923af.pth", {})
    with pytest.raises(ScmError, match="missing: not a folder"):
        find_backbone("vgg16", tmp_path / "missing")


def test_an_unknown_backbone_is_an_error_that_suggests_the_nearest() -> None:
    with pytest.raises(ScmError, match="did you mean 'vgg1"):
        find_backbone("vgg18")


@pytest.mark.parametrize("half", [False, True])
def test_a_cut_file_in_either_precision_is_read_as_float32(tmp_path: Path, half: bool) -> None:
    state = first_block()
    stored = {key: value.half() for key, value in state.items()} if half else state
    save(tmp_path, "vgg16-features-fp16.pth", stored)
    loaded = load_backbone("vgg16", tmp_path, FIRST_BLOCK)
    assert list(loaded) == FIRST_BLOCK
    for key, value in loaded.items():
        assert value.dtype == torch.float32
        assert torch.equal(value, stored[key].float())


def test_a_full_state_dict_gives_its_convolutions_only(tmp_path: Path) -> None:
    save(tmp_path, "vgg16-397923af.pth", {**first_block(), "classifier.0.weight": torch.zeros(2, 2)})
    assert list(load_backbone("vgg16", tmp_path, FIRST_BLOCK)) == FIRST_BLOCK


def test_a_missing_key_is_an_error_only_if_it_is_needed(tmp_path: Path) -> None:
    path = save(tmp_path, "vgg16-features-fp16.pth", first_block())
    load_backbone("vgg16", tmp_path, FIRST_BLOCK[:2])
    with pytest.raises(ScmError, match=r"lacks features\.5\.weight of vgg16") as caught:
        load_backbone("vgg16", tmp_path)
    assert str(path) in str(caught.value)


def test_another_network_under_the_same_name_is_refused(tmp_path: Path) -> None:
    vgg19 = {key: torch.zeros(shape) for key, shape in backbone_shapes("vgg19").items() if int(key.split(".")[1]) < 17}
    path = save(tmp_path, "vgg16-397923af.pth", vgg19)
    with pytest.raises(ScmError, match=r"is not vgg16 \(it holds features\.16\.weight") as caught:
        load_backbone("vgg16", tmp_path, FIRST_BLOCK)
    assert str(path) in str(caught.value)


def test_a_wrong_shape_is_refused_with_both_shapes(tmp_path: Path) -> None:
    save(tmp_path, "vgg16-397923af.pth", {**first_block(), "features.0.weight": torch.zeros(64, 1, 3, 3)})
    with pytest.raises(ScmError, match=r"\(64, 1, 3, 3\), expected \(64, 3, 3, 3\)"):
        load_backbone("vgg16", tmp_path, FIRST_BLOCK)


@pytest.mark.parametrize("content", [b"", b"not a weight file", b"PK\x03\x04 truncated"])
def test_a_broken_file_is_a_one_line_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "alexnet-owt-7be5be79.pth"
    path.write_bytes(content)
    with pytest.raises(ScmError, match="cannot be read as alexnet weights") as caught:
        load_backbone("alexnet", tmp_path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_truncated_file_is_a_one_line_error(tmp_path: Path) -> None:
    path = save(tmp_path, "vgg16-397923af.pth", first_block())
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(ScmError, match="cannot be read as vgg16 weights"):
        load_backbone("vgg16", tmp_path, FIRST_BLOCK)


@pytest.mark.parametrize("content", [[1, 2], {"features.0.weight": "text"}])
def test_a_file_with_other_content_is_refused(tmp_path: Path, content: object) -> None:
    save(tmp_path, "vgg16-397923af.pth", content)
    with pytest.raises(ScmError, match="holds no state dict of vgg16"):
        load_backbone("vgg16", tmp_path, FIRST_BLOCK)


class _Foreign:
    pass


def test_a_file_that_contains_code_is_refused(tmp_path: Path) -> None:
    save(tmp_path, "vgg16-397923af.pth", {"features.0.weight": _Foreign()})
    with pytest.raises(ScmError, match="cannot be read as vgg16 weights"):
        load_backbone("vgg16", tmp_path, FIRST_BLOCK)


# Downloading


CONTENT = bytes(range(256)) * 5_000  # 1.28 MB: more than one chunk


@dataclass
class Server:
    """Serves files from memory by name; it may break off, and supports range requests or not."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    break_after: int | None = None
    knows_ranges: bool = True
    ranges: list[str | None] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = state.files.get(self.path.lstrip("/"))
            state.ranges.append(self.headers.get("Range"))
            if content is None:
                self.send_error(404)
                return
            start = 0
            if state.knows_ranges and self.headers.get("Range"):
                start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
                if start >= len(content):
                    self.send_error(416)
                    return
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            end = len(content) if state.break_after is None else start + state.break_after
            self.wfile.write(content[start:end])

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http_server:
        state.url = f"http://127.0.0.1:{http_server.server_port}"
        thread = threading.Thread(target=http_server.serve_forever)
        thread.start()
        yield state
        http_server.shutdown()
        thread.join()


@pytest.fixture
def known(server: Server, monkeypatch: pytest.MonkeyPatch) -> Backbone:
    """A network whose file the server has, with the digest in its name."""
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    file = f"alexnet-owt-{sha256[:8]}.pth"
    backbone = replace(BACKBONES["alexnet"], file=file, sha256=sha256, url=f"{server.url}/{file}")
    monkeypatch.setitem(BACKBONES, "alexnet", backbone)
    server.files[file] = CONTENT
    return backbone


def test_a_fetched_file_is_complete_found_afterwards_and_reported(server: Server, known: Backbone) -> None:
    reports: list[tuple[int, int | None]] = []
    path = fetch_backbone("alexnet", progress=lambda done, total: reports.append((done, total)))
    assert path.read_bytes() == CONTENT
    assert find_backbone("alexnet") == path
    assert reports[-1] == (len(CONTENT), len(CONTENT))
    assert [file.name for file in path.parent.iterdir()] == [known.file]


def test_an_existing_file_is_not_fetched_again(server: Server, known: Backbone, tmp_path: Path) -> None:
    fetch_backbone("alexnet", tmp_path)
    fetch_backbone("alexnet", tmp_path)
    assert len(server.ranges) == 1


def test_a_broken_download_resumes(server: Server, known: Backbone, tmp_path: Path) -> None:
    server.break_after = 100_000
    with pytest.raises(ScmError, match="300,000 bytes are kept, the same command resumes"):
        fetch_backbone("alexnet", tmp_path)
    assert not (tmp_path / known.file).exists()
    server.break_after = None
    assert fetch_backbone("alexnet", tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=100000-", "bytes=200000-", "bytes=300000-"]


def test_a_server_without_range_requests_sends_the_whole_file(server: Server, known: Backbone, tmp_path: Path) -> None:
    server.knows_ranges = False
    (tmp_path / f".{known.file}.partial").write_bytes(b"other")
    assert fetch_backbone("alexnet", tmp_path).read_bytes() == CONTENT


def test_a_complete_partial_file_is_only_checked(server: Server, known: Backbone, tmp_path: Path) -> None:
    (tmp_path / f".{known.file}.partial").write_bytes(CONTENT)
    assert fetch_backbone("alexnet", tmp_path).read_bytes() == CONTENT


def test_a_wrong_file_is_refused_and_deleted(server: Server, known: Backbone, tmp_path: Path) -> None:
    server.files[known.file] = CONTENT[:-1] + b"?"
    with pytest.raises(ScmError, match=rf"is not {known.file}: its sha256 is [0-9a-f]{{64}}, not {known.sha256}"):
        fetch_backbone("alexnet", tmp_path)
    assert not list(tmp_path.glob("*.pth"))
    assert not list(tmp_path.glob(".*.partial"))


def test_without_a_connection_the_error_has_the_offline_remedy(known: Backbone, tmp_path: Path) -> None:
    with pytest.raises(ScmError, match=r"scm weights fetch alexnet --to FOLDER.*SCM_WEIGHTS=FOLDER") as caught:
        fetch_backbone("alexnet", tmp_path, mirror="http://127.0.0.1:9")
    assert "http://127.0.0.1:9/alexnet" in str(caught.value)


def test_a_missing_file_on_the_server_is_an_error_without_retries(
    server: Server, known: Backbone, tmp_path: Path
) -> None:
    server.files.clear()
    with pytest.raises(ScmError, match="HTTP 404"):
        fetch_backbone("alexnet", tmp_path)
    assert len(server.ranges) == 1


# Verifying


def test_a_corrupted_published_file_is_an_error_with_both_checksums(tmp_path: Path) -> None:
    path = tmp_path / "vgg16-397923af.pth"
    path.write_bytes(b"corrupted")
    with pytest.raises(ScmError, match="not 397923af") as caught:
        verify_backbone("vgg16", path)
    assert str(path) in str(caught.value)
    with pytest.raises(ScmError, match="not 397923af"):
        fetch_backbone("vgg16", tmp_path)


def test_a_cut_copy_is_recognised_by_its_layout(tmp_path: Path) -> None:
    state = {key: torch.zeros(shape).half() for key, shape in backbone_shapes("alexnet").items()}
    path = save(tmp_path, "alexnet-features-fp16.pth", state)
    assert verify_backbone("alexnet", path) == "cut copy, right layout, sha256 unknown here"
    del state["features.0.bias"]
    with pytest.raises(ScmError, match=r"lacks features\.0\.bias"):
        verify_backbone("alexnet", save(tmp_path, "alexnet-features-fp16.pth", state))


@pytest.mark.weights
@pytest.mark.parametrize("name", ["alexnet", "vgg16"])
def test_the_shared_copies_have_the_known_checksums(shared_weights: Path, name: str) -> None:
    path = find_backbone(name, shared_weights)
    assert verify_backbone(name, path) == "cut copy, convolutions in half precision, sha256 known"


# The command


def test_scm_weights_lists_fetches_verifies_and_names_files(
    server: Server, known: Backbone, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def scm(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["weights", *arguments])
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    code, out, _ = scm("list")
    assert code == 0
    for backbone in BACKBONES.values():
        assert f"{backbone.name}: {backbone.needed_by}" in out
        assert f"{backbone.megabytes:.0f} MB, {backbone.licence}, sha256 {backbone.sha256[:8]}" in out
        assert f"absent; scm weights fetch {backbone.name}" in out

    folder = str(tmp_path / "copied")
    assert scm("verify", "--weights-dir", str(tmp_path))[1].splitlines()[2] == "alexnet: absent"
    assert scm("path", "alexnet")[0] == 2
    code, out, _ = scm("fetch", "alexnet", "--to", folder)
    assert (code, out.strip()) == (0, f"{folder}/{known.file}")
    assert scm("path", "alexnet", "--weights-dir", folder)[1].strip() == f"{folder}/{known.file}"
    assert f"found: {folder}/{known.file}" in scm("list", "--weights-dir", folder)[1]
    assert scm("verify", "--weights-dir", folder)[1].splitlines()[2].endswith("as published")

    (tmp_path / "copied" / known.file).write_bytes(b"broken")
    code, _, err = scm("verify", "--weights-dir", folder)
    assert code == 2
    assert known.file in err
    assert scm("fetch", "vgg")[2].count("did you mean") == 1
    assert scm("path", "--weights-dir", folder)[1].splitlines()[0] == folder


@pytest.mark.parametrize("url", ["http://example.org/a.pth", "ftp://127.0.0.1/a.pth", "file:///etc/passwd", "a.pth"])
def test_only_https_addresses_are_allowed(url: str, tmp_path: Path) -> None:
    with pytest.raises(ScmError, match="is not an https address"):
        download(url, tmp_path / "a.pth", "0" * 64)
    assert not list(tmp_path.iterdir())


def test_a_redirection_from_this_machine_to_plain_http_elsewhere_is_refused(tmp_path: Path) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", "http://example.org/a.pth")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http_server:
        thread = threading.Thread(target=http_server.serve_forever)
        thread.start()
        try:
            with pytest.raises(ScmError, match=r"http://example.org/a.pth: is not an https address"):
                download(f"http://127.0.0.1:{http_server.server_port}/a.pth", tmp_path / "a.pth", "0" * 64)
        finally:
            http_server.shutdown()
            thread.join()


def test_a_compressed_state_dict_is_refused(tmp_path: Path) -> None:
    stored, packed = tmp_path / "stored.pth", tmp_path / "alexnet-owt-7be5be79.pth"
    torch.save({"features.0.weight": torch.zeros(64, 3, 11, 11)}, stored)
    with zipfile.ZipFile(stored) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    with pytest.raises(ScmError, match=r"its members are compressed.*scm weights fetch alexnet"):
        load_backbone("alexnet", path=packed)


def test_published_checksums_start_with_the_suffix_of_the_file_name() -> None:
    for backbone in BACKBONES.values():
        assert len(backbone.sha256) == 64
        assert backbone.file.endswith(f"-{backbone.sha256[:8]}.pth")


def test_the_models_of_faces_are_found_in_a_checkout_that_is_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After `pip install .` the package no longer runs from the checkout."""
    monkeypatch.setattr(weights, "_ROOT", tmp_path / "elsewhere")
    monkeypatch.setenv("SCM_WEIGHTS", str(tmp_path / "none"))
    monkeypatch.chdir(tmp_path)
    for file in ("pyproject.toml", "scmnet_cli/weights.py", "research/a-model.safetensors"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    assert weights.find_research_file("a-model.safetensors") == tmp_path / "research" / "a-model.safetensors"
    (tmp_path / "pyproject.toml").unlink()
    assert weights.find_research_file("a-model.safetensors") is None, "any folder with this name is no checkout"
