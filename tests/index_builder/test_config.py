from pathlib import Path

import pytest
from pydantic import ValidationError

from index_builder.config import BuildConfig, load_config
from models.errors import ConfigError

DESIGN = """
[catalogue]
path = "items.parquet"
id = "item_id"
text = ["title", "brand", "description"]
attributes = ["category", "price"]

[interactions]
path = "interactions.parquet"
user = "user_id"
item = "item_id"
time = "timestamp"
text = "text"
rating = "rating"
min_rating = 4.0

[encoder]
model = "all-MiniLM-L6-v2"
device = "auto"

[publish]
artifacts = "artifacts"
"""
LEAST = '[catalogue]\npath = "items.csv"\ntext = ["title"]\n'


def load(folder: Path, toml: str) -> BuildConfig:
    (folder / "recall.toml").write_text(toml, encoding="utf-8")
    return load_config(folder / "recall.toml")


def test_the_published_example_loads_and_its_paths_become_absolute(tmp_path: Path) -> None:
    config = load(tmp_path, DESIGN)
    assert config.catalogue.path == tmp_path / "items.parquet"
    assert config.catalogue.text == ["title", "brand", "description"]
    assert config.interactions is not None
    assert config.interactions.path == tmp_path / "interactions.parquet"
    assert config.interactions.min_rating == 4.0
    assert config.encoder.model == "all-MiniLM-L6-v2"
    assert config.publish.artifacts == tmp_path / "artifacts"


def test_everything_else_has_a_default(tmp_path: Path) -> None:
    config = load(tmp_path, LEAST)
    assert config.catalogue.id == "item_id"
    assert config.catalogue.max_reject_share == 0.01
    assert config.interactions is None
    assert (config.text.strip_punctuation, config.text.stop_words) == (False, None)
    assert (config.encoder.device, config.encoder.dtype) == ("auto", "auto")
    assert (config.index.kind, config.index.exact_up_to) == ("auto", 50_000)
    assert config.publish.artifacts == tmp_path / "artifacts"


def test_absolute_paths_stay_and_relative_ones_are_the_files_not_the_callers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub" / "recall.toml").write_text(LEAST.replace('"items.csv"', '"../data/items.csv"'))
    config = load_config(Path("sub/recall.toml"))
    assert config.catalogue.path.resolve() == tmp_path / "data" / "items.csv"
    absolute = load(tmp_path, LEAST.replace('"items.csv"', '"/data/items.csv"'))
    assert absolute.catalogue.path == Path("/data/items.csv")


@pytest.mark.parametrize("source", ["redis://h:1/2", "rediss://:pw@h", "unix:///run/redis"])
def test_a_redis_is_no_path(tmp_path: Path, source: str) -> None:
    feedback = load(tmp_path, f'{LEAST}[feedback]\nsource = "{source}"\n').feedback
    assert feedback is not None
    assert (feedback.source, feedback.events) == (source, tmp_path / "events")
    assert "pw" not in repr(feedback)


def test_a_state_folder_is_relative_to_the_file_and_a_table_of_weights_replaces_all(tmp_path: Path) -> None:
    section = '[feedback]\nsource = "state"\nevents = "days"\nweights = {stare = 2, skip = -0.5}\n'
    feedback = load(tmp_path, LEAST + section).feedback
    assert feedback is not None
    assert (feedback.source, feedback.events) == (str(tmp_path / "state"), tmp_path / "days")
    assert feedback.weights == {"stare": 2.0, "skip": -0.5}


@pytest.mark.parametrize("weight", ["101", "-101", "nan", '"much"'])
def test_a_weight_out_of_bounds_is_named(tmp_path: Path, weight: str) -> None:
    with pytest.raises(ConfigError, match=r"feedback\.weights\.click"):
        load(tmp_path, f'{LEAST}[feedback]\nsource = "s"\nweights = {{click = {weight}}}\n')


def test_a_models_folder_is_relative_to_the_file_too(tmp_path: Path) -> None:
    (tmp_path / "my-model").mkdir()
    toml = LEAST + '[encoder]\nmodel = "my-model"\n'
    assert load(tmp_path, toml).encoder.model == str(tmp_path / "my-model")
    assert load(tmp_path, toml.replace("my-model", "org/name")).encoder.model == "org/name"


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        (LEAST + "atributes = []\n", "unknown key 'catalogue.atributes'; did you mean 'attributes'?"),
        (LEAST + "[catalog]\n", "unknown key 'catalog'; did you mean 'catalogue'?"),
        (LEAST + "[encoder]\ndevise = 'cpu'\n", "unknown key 'encoder.devise'; did you mean 'device'?"),
        (LEAST + "[encoder]\nbatch_size = 8\n", "unknown key 'encoder.batch_size'; known keys: model, device,"),
        (LEAST + "[index]\nhnsw_ef = 8\n", "unknown key 'index.hnsw_ef'; did you mean 'hnsw_"),
        (LEAST + "[text]\nzzz = 1\n", "unknown key 'text.zzz'; known keys: strip_punctuation, stop_words"),
        (
            LEAST + "[interactions]\npath = 'x'\nusers = 'u'\n",
            "unknown key 'interactions.users'; did you mean 'user'?",
        ),
        ("wrong = 'x'\n" + LEAST, "unknown key 'wrong'; known keys: catalogue, interactions,"),
        (LEAST + "[publish.artifacts]\nx = 1\n", "publish.artifacts: "),
        ("", "catalogue: Field required"),
        ("[catalogue]\n", "catalogue.path: Field required"),
        ("[[catalogue]]\n", "catalogue: Input should be"),
        (LEAST.replace('["title"]', "[]"), "catalogue.text: List should have at least 1 item"),
        (LEAST.replace('["title"]', '"title"'), "catalogue.text: Input should be a valid list"),
        (LEAST + "max_reject_share = 1.5\n", "catalogue.max_reject_share: Input should be less than or equal to 1"),
        (LEAST + "max_reject_share = nan\n", "catalogue.max_reject_share: "),
        (LEAST + "[encoder]\ndevice = 'tpu'\n", "encoder.device: Input should be 'auto', 'cuda', 'mps' or 'cpu'"),
        (LEAST + "[encoder]\ntruncate_dim = 0\n", "encoder.truncate_dim: Input should be greater than or equal to 1"),
        (
            LEAST + "[encoder]\ndtype = 'int8'\n",
            "encoder.dtype: Input should be 'auto', 'float32', 'bfloat16' or 'float16'",
        ),
        (
            LEAST + "[interactions]\npath = 'x'\nmin_rating = 3\n",
            'interactions: min_rating is set but no rating column; add rating = "<column>"',
        ),
        ("[catalogue\n", "can't be read as TOML"),
        (LEAST + LEAST, "can't be read as TOML"),
    ],
)
def test_a_wrong_key_or_value_is_named(tmp_path: Path, toml: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, toml)
    assert message in str(caught.value)
    assert str(tmp_path / "recall.toml") in str(caught.value)


def test_all_wrong_keys_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'catalogue\.textt'.*'text\.stopwords'; did you mean 'stop_words'"):
        load(tmp_path, LEAST + "textt = []\n[text]\nstopwords = 'en'\n")


def test_a_file_that_is_not_there_or_not_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist; `python -m index_builder demo DIR` writes one"):
        load_config(tmp_path / "recall.toml")
    with pytest.raises(ConfigError, match=f"{tmp_path} can't be read as TOML"):
        load_config(tmp_path)
    (tmp_path / "recall.toml").write_bytes(b'[catalogue]\npath = "\xff"\n')
    with pytest.raises(ConfigError, match="can't be read as TOML"):
        load_config(tmp_path / "recall.toml")


def test_the_config_is_a_closed_value(tmp_path: Path) -> None:
    config = load(tmp_path, LEAST)
    with pytest.raises(ValidationError):
        config.catalogue.id = "x"  # type: ignore[misc]


def test_every_key_has_a_description_and_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "building.md").read_text(encoding="utf-8")
    for section, field in BuildConfig.model_fields.items():
        arguments = getattr(field.annotation, "__args__", (field.annotation,))
        for key, value in arguments[0].model_fields.items():
            assert value.description, f"{section}.{key}"
            assert f"`{section}.{key}`" in text or f"`.{key}`" in text, f"{section}.{key}"
