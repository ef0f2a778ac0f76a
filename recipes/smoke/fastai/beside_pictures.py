"""What a function may want beside inference: tables, plots, other picture formats, YAML, HTTP, versions."""

import os

os.environ["MPLCONFIGDIR"] = "/tmp/matplotlib"

import importlib
from importlib.metadata import version
from io import BytesIO

import fastai.basics
import fastai.callbacks
import fastai.collab
import fastai.metrics
import fastai.tabular
import fastai.vision
import matplotlib
import numpy
import pandas
import pkg_resources
import requests
import yaml
from matplotlib import pyplot
from mpl_toolkits.mplot3d import Axes3D
from PIL import Image, ImageDraw, ImageFont, features

for distribution, wanted in (
    ("certifi", "2023.7.22"), ("charset-normalizer", "3.1.0"), ("cycler", "0.11.0"), ("fastai", "1.0.61"), ("fastprogress", "0.2.6"),
    ("idna", "3.4"), ("kiwisolver", "1.4.4"), ("matplotlib", "3.4.3"), ("numpy", "1.24.4"), ("pandas", "1.5.3"), ("pillow", "9.5.0"),
    ("pyparsing", "2.4.7"), ("python-dateutil", "2.8.2"), ("pytz", "2023.3"), ("pyyaml", "6.0.1"), ("requests", "2.28.2"),
    ("setuptools", "59.6.0"), ("six", "1.16.0"), ("torch", "1.13.1"), ("torchvision", "0.14.1"), ("urllib3", "1.26.15"),
):
    assert version(distribution) == wanted, (distribution, version(distribution))
assert pkg_resources.get_distribution("fastprogress").version == "0.2.6"

system = numpy.diag(numpy.full(8, 2.0)) - numpy.eye(8, k=1)
assert numpy.allclose(numpy.linalg.solve(system, system @ numpy.arange(8)), numpy.arange(8))
assert numpy.allclose(numpy.fft.ifft(numpy.fft.fft([1.0, 2.0, 5.0])).real, [1, 2, 5])
assert 0.4 < numpy.random.default_rng(1).random(1000).mean() < 0.6

table = pandas.DataFrame({"day": pandas.date_range("2024-02-28", periods=3, tz="Europe/Berlin"), "n": [1, 2, 3]})
assert table.groupby(table.day.dt.month).n.sum().to_dict() == {2: 3, 3: 3}
assert table.n.rolling(2).mean().tolist()[1:] == [1.5, 2.5]
assert pandas.read_csv(BytesIO(table.to_csv(index=False).encode())).n.tolist() == [1, 2, 3]

# Plots into a file; a window has neither a screen nor icons here.
matplotlib.use("Agg")
figure, (plane, room) = pyplot.subplots(1, 2, subplot_kw={})
plane.plot([1, 2, 4], label="a line")
plane.legend()
plane.set_title(r"Text and $x^2$")
plane.contourf(numpy.add.outer(numpy.arange(5), numpy.arange(5)))
for kind, start in (("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")):
    file = BytesIO()
    figure.savefig(file, format=kind)
    assert file.getvalue().startswith(start), kind
Axes3D(pyplot.figure(), auto_add_to_figure=False)

picture = Image.fromarray(numpy.tile(numpy.arange(256, dtype=numpy.uint8), (16, 1)))
for kind in ("png", "jpeg", "webp", "tiff", "gif", "bmp", "jpeg2000"):
    file = BytesIO()
    picture.convert("L").save(file, format=kind)
    assert Image.open(BytesIO(file.getvalue())).size == (256, 16), kind
assert features.check("freetype2") and features.check("littlecms2")
font = ImageFont.truetype(matplotlib.get_data_path() + "/fonts/ttf/DejaVuSans.ttf", 12)
ImageDraw.Draw(picture).text((2, 2), "text", font=font, fill=0)

assert yaml.load("a: [1, {b: c}]", Loader=yaml.CSafeLoader) == {"a": [1, {"b": "c"}]}
assert os.path.isfile(requests.certs.where())
try:
    requests.get("https://192.0.2.1/", timeout=5)
except requests.exceptions.ConnectionError:
    pass
else:
    raise AssertionError("there is a network")

# Texts want spacy, which the layer leaves out.
try:
    importlib.import_module("fastai.text")
except ImportError as error:
    assert error.name == "spacy", error
else:
    raise AssertionError("fastai.text without spacy")
