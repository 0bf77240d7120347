import hashlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from models.errors import ArtifactCorruptError, ArtifactError, ArtifactMismatchError, ArtifactUnsupportedError
from models.manifest import FORMAT_VERSION, FileFacts, InputFacts, Manifest, parse_manifest
from models.text import TextRecipe
from tests.artifacts import sealed_manifest

MANIFEST = sealed_manifest()
RAW = MANIFEST.to_bytes()


def canonical(fields: dict[str, Any]) -> bytes:
    """The stored form as docs/artifact-format.md has it, written without the code under test."""
    return json.dumps(fields, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def resealed(**changes: Any) -> bytes:
    """What somebody writes who edits a manifest and knows how its identity comes about."""
    fields = json.loads(RAW) | changes
    del fields["artifact_id"]
    identity = hashlib.sha256(canonical(fields)).hexdigest()[:16]
    return canonical(fields | {"artifact_id": identity})


def test_what_is_written_is_read() -> None:
    assert parse_manifest(RAW) == MANIFEST
    assert parse_manifest(RAW).to_bytes() == RAW


def test_the_stored_form_and_the_identity_are_what_the_format_says() -> None:
    assert canonical(json.loads(RAW)) == RAW
    assert resealed() == RAW
    assert "Grüße 山".encode() in RAW


@pytest.mark.parametrize(
    "field", sorted(set(Manifest.model_fields) - {"artifact_id", "format_version", "relation_head", "matching"})
)
def test_the_identity_covers_every_field(field: str) -> None:
    changes: dict[str, Any] = {
        "created_at": "2025-01-02T03:04:05.679+00:00",
        "text_recipe": TextRecipe(strip_punctuation=True),
        "encoder": MANIFEST.encoder.model_copy(update={"fingerprint": "other"}),
        "index": MANIFEST.index.model_copy(update={"params": {"m": 1}}),
        "item_fields": ("title", "brand"),
        "text_fields": ("title",),
        "live_seq": 7,
        "files": {"encoder/seed.txt": FileFacts(sha256="0" * 63 + "1", bytes=1)},
        "probe": MANIFEST.probe.model_copy(update={"text": "another"}),
        "inputs": InputFacts(digest="0" * 64, n_interactions=3, newest=1.5),
        "quality": {"ann_recall@100": 0.5},
        "parent": "0123456789abcdef",
    }
    assert sealed_manifest(**{field: changes[field]}).artifact_id != MANIFEST.artifact_id


@given(offset=st.integers(0, len(RAW) - 1), xor=st.integers(1, 255))
@settings(max_examples=500)
def test_any_flipped_byte_is_found(offset: int, xor: int) -> None:
    damaged = bytearray(RAW)
    damaged[offset] ^= xor
    with pytest.raises(ArtifactError, match=r"manifest\.json"):
        parse_manifest(bytes(damaged))


@given(st.data())
def test_bytes_cut_out_doubled_or_put_in_are_found(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(RAW)))
    end = data.draw(st.integers(start, len(RAW)))
    damaged = RAW[:start] + data.draw(st.sampled_from([b"", RAW[start:end] * 2, b" ", b"\0", b"\n"])) + RAW[end:]
    if damaged != RAW:
        with pytest.raises(ArtifactError, match=r"manifest\.json"):
            parse_manifest(damaged)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"1e-05", b"1e905"),  # one flipped bit makes an infinity
        (b"0.999", b"NaN"),
        (b"0.999", b"-Infinity"),
        (b'"ann_recall@100":1.0', b'"ann_recall@100":9e999'),
        (b'"ann_recall@100":1.0', b'"ann_recall@100":NaN'),
        (b'"bytes":1', b'"bytes":' + b"9" * 5000),
        (b'"ann_recall@100":1.0', b'"ann_recall@100":' + b"[" * 200 + b"]" * 200),
        (b'"created_at":"', rb'"created_at":"\ud800'),
        (b'"n_items":3', b'"n_items":3.0'),
        (b'"n_items":3', b'"n_items":"3"'),
        (b'"parent":null', b'"parent":null,"parent":null'),
        (b'"trained":false', b'"trained":0'),
    ],
)
def test_values_that_json_or_python_would_let_pass_are_found(old: bytes, new: bytes) -> None:
    assert RAW.count(old) == 1
    with pytest.raises(ArtifactCorruptError, match=r"manifest\.json"):
        parse_manifest(RAW.replace(old, new))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\n",
        b"null",
        b"1",
        b"[]",
        b'"format_version"',
        b"{}",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"format_version":1}',
        b'{"format_version":' + b"9" * 5000 + b"}",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 3045\n",
        b"<html><body>404 Not Found</body></html>",
    ],
    ids=range(13),
)
def test_what_is_no_manifest_is_corrupt(raw: bytes) -> None:
    with pytest.raises(ArtifactCorruptError, match=r"manifest\.json"):
        parse_manifest(raw)


@pytest.mark.parametrize("version", [0, 2, -1, "1", None, 1.5, [1]])
def test_another_format_version_is_unsupported_and_named(version: object) -> None:
    with pytest.raises(ArtifactUnsupportedError, match="format_version") as caught:
        parse_manifest(resealed(format_version=version))
    assert f"{version!r}, this version reads {FORMAT_VERSION}" in str(caught.value)


@pytest.mark.parametrize("version", [True, 1.0])
def test_a_version_that_only_equals_one_is_corrupt(version: object) -> None:
    with pytest.raises(ArtifactCorruptError, match=r"manifest\.json"):
        parse_manifest(resealed(format_version=version))


def test_an_edited_field_shows_in_the_identity() -> None:
    fields = json.loads(RAW)
    fields["encoder"]["max_tokens"] = 512
    with pytest.raises(ArtifactMismatchError, match="its fields hash to"):
        parse_manifest(canonical(fields))
    with pytest.raises(ArtifactMismatchError, match=f"'{'0' * 16}', its fields hash to '{MANIFEST.artifact_id}'"):
        parse_manifest(canonical(json.loads(RAW) | {"artifact_id": "0" * 16}))


@pytest.mark.parametrize(
    "form",
    [
        lambda fields: json.dumps(fields).encode(),
        lambda fields: json.dumps(fields, indent=2, sort_keys=True).encode() + b"\n",
        lambda fields: canonical(fields).removesuffix(b"\n"),
        lambda fields: canonical(fields) + b"\n",
        lambda fields: b"\xef\xbb\xbf" + canonical(fields),
        lambda fields: canonical(fields).replace(b"\n", b"\r\n"),
        lambda fields: canonical(dict(reversed(fields.items()))).replace(b'{"artifact_id"', b'{ "artifact_id"'),
        lambda fields: canonical(fields).replace("山".encode(), rb"\u5c71"),
    ],
    ids=["plain", "indented", "no end of line", "two", "BOM", "CRLF", "a blank", "escaped"],
)
def test_another_form_of_the_same_fields_is_refused(form) -> None:
    with pytest.raises(ArtifactCorruptError, match=r"manifest\.json"):
        parse_manifest(form(json.loads(RAW)))


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"extra": 1}, "extra"),
        ({"index": {"kind": "ivf", "dim": 4, "metric": "inner_product", "params": {}, "n_items": 3}}, "index.kind"),
        ({"index": {"kind": "flat", "dim": 4, "metric": "l2", "params": {}, "n_items": 3}}, "index.metric"),
        ({"quality": None}, "quality"),
        ({"matching": {"kind": "decayed_mean", "decay": 0.0}}, "matching.decay"),
        ({"encoder": {**json.loads(RAW)["encoder"], "query_runtime": "onnx"}}, "encoder.query_runtime"),
        ({"encoder": {**json.loads(RAW)["encoder"], "secret": 1}}, "encoder.secret"),
    ],
)
def test_a_resealed_manifest_with_a_wrong_field_names_the_field(changes: dict[str, Any], where: str) -> None:
    with pytest.raises(ArtifactCorruptError, match=rf"manifest\.json: {where}"):
        parse_manifest(resealed(**changes))


def test_a_missing_field_is_named() -> None:
    fields = json.loads(RAW)
    del fields["probe"]
    with pytest.raises(ArtifactCorruptError, match=r"manifest\.json: probe: Field required"):
        parse_manifest(canonical(fields))


@pytest.mark.parametrize(
    "name",
    [
        "../outside",
        "..",
        ".",
        "",
        "/etc/passwd",
        "encoder/../../outside",
        "encoder//weights",
        "encoder/",
        "./index.faiss",
        ".hidden",
        "encoder/.hidden",
        "a\\b",
        "C:\\x",
        "a b",
        "a\n",
        "a\0b",
        "ä",
        "~",
    ],
)
def test_a_file_name_that_could_point_elsewhere_is_refused(name: str) -> None:
    file = {"sha256": "0" * 64, "bytes": 1}
    with pytest.raises(ValidationError):
        sealed_manifest(files={name: file})
    with pytest.raises(ArtifactCorruptError, match=r"manifest\.json: files"):
        parse_manifest(resealed(files={name: file}))


@pytest.mark.parametrize("name", ["index.faiss", "encoder/1_Pooling/config.json", "a-b_c.D..e", "0"])
def test_ordinary_file_names_pass(name: str) -> None:
    manifest = sealed_manifest(files={name: {"sha256": "0" * 64, "bytes": 1}})
    assert parse_manifest(manifest.to_bytes()).files.keys() == {name}


def test_a_manifest_is_a_closed_value() -> None:
    with pytest.raises(ValidationError):
        MANIFEST.parent = "x"  # type: ignore[misc]
    with pytest.raises(ValidationError):
        MANIFEST.index.n_items = 4  # type: ignore[misc]
    with pytest.raises(ValidationError):
        sealed_manifest(colour="red")
