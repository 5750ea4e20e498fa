"""Makes publishable folders of the example components: recipe.yaml and the artifacts it names.

    recipe = packages.application(folder, version="1.1.0", joinGapMs=300)
    fleet.cli("component", "publish", recipe)
"""

import json
import os
import zipfile
from pathlib import Path

import yaml

EXAMPLES = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("SKERRY_CACHE") or Path.home() / ".cache/skerry")

INFER = "skerry.Infer"
STREAMS = "aws.greengrass.StreamManager"
RUNTIME = "skerry.runtime.OnnxRuntime"
LITERT = "skerry.runtime.LiteRt"
# The vendors' libraries, where setup has put them.
LIBRARIES = {"onnxruntime": CACHE / "onnxruntime/lib/libonnxruntime.so", "litert": CACHE / "litert/lib/libLiteRt.so"}
MODEL = "com.example.VadModel"
APPLICATION = "com.example.SpeechDetector"
MODEL_NAME = "silero-vad"
COMPILED = "com.example.VadModelCompiled"
COMPILED_NAME = "silero-vad-compiled"

# Versions of the model, all real exports of Silero VAD. The last has another interface (no sample
# rate, one fixed window): the inference service must refuse it.
MODELS = {
    "1.0.0": "silero_vad.onnx",
    "1.1.0": "silero_vad_16k_op15.onnx",
    "1.2.0": "silero_vad_openvino_16k.onnx",
}

# One stream of one window after the other, at 16 kHz: what the code is made for.
COMPILE = ["--shape", "input=1,576", "--value", "sr=16000"]


def application(folder, version="1.0.0", **defaults):
    """The speech detector with its own code and the wheels it needs."""
    recipe = yaml.safe_load((EXAMPLES / "speech_detector/recipe.yaml").read_text())
    recipe["ComponentVersion"] = version
    recipe["ComponentConfiguration"]["DefaultConfiguration"].update(version=version, **defaults)
    path = write_recipe(folder, recipe)
    write_zip(folder / "app.zip", (EXAMPLES / "speech_detector").glob("*.py"))
    write_zip(folder / "wheels.zip", (CACHE / "wheelhouse").glob("*.whl"))
    return path


def infer(folder, bin_dir, litert=False):
    """The inference service; it brings ONNX Runtime and what runs compiled models, and LiteRT where that is asked for."""
    recipe = yaml.safe_load((EXAMPLES / "infer/recipe.yaml").read_text())
    if litert:
        recipe["ComponentDependencies"][LITERT] = {"VersionRequirement": ">=2.0.0", "DependencyType": "HARD"}
        recipe["Manifests"][0]["Lifecycle"]["Run"] += f" --runtime litert={{{LITERT}:artifacts:path}}/libLiteRt.so"
    path = write_recipe(folder, recipe)
    (folder / "skerry-infer").symlink_to((Path(bin_dir) / "skerry-infer").resolve())
    return path


def streams(folder, bin_dir, **configuration):
    recipe = yaml.safe_load((EXAMPLES / "streams/recipe.yaml").read_text())
    recipe["ComponentConfiguration"]["DefaultConfiguration"].update(configuration)
    path = write_recipe(folder, recipe)
    (folder / "skerry-streams").symlink_to((Path(bin_dir) / "skerry-streams").resolve())
    return path


def infer_of_image(folder, image, summary_s):
    """The inference service of a device whose image has the programs and the runtime, in the folder `image`: what
    is deployed is a script that starts it, and callers reach it through its Unix socket alone."""
    recipe = yaml.safe_load((EXAMPLES / "infer/recipe.yaml").read_text())
    recipe["ComponentConfiguration"]["DefaultConfiguration"]["summaryInterval"] = summary_s
    del recipe["ComponentDependencies"]
    run = recipe["Manifests"][0]["Lifecycle"]["Run"]
    run = run.replace("--http-port {configuration:/httpPort}", "--threads 1")
    recipe["Manifests"][0]["Lifecycle"]["Run"] = run.replace(f"{{{RUNTIME}:artifacts:path}}", str(image))
    path = write_recipe(folder, recipe)
    (folder / "skerry-infer").write_text(f'#!/bin/sh\nexec {image}/skerry-infer "$@"\n')
    return path


def onnxruntime(folder):
    return with_artifact(folder, "onnxruntime", LIBRARIES["onnxruntime"])


def litert(folder):
    return with_artifact(folder, "litert", LIBRARIES["litert"])


def engines():
    """All that `skerry model optimise --engine` can measure in, here."""
    return [f"{name}={library}" for name, library in LIBRARIES.items()] + ["compiled"]


def copy_runtime(folder, bin_dir):
    """A runtime that registers itself with the inference service."""
    return with_artifact(folder, "copy_runtime", Path(bin_dir) / "libcopy_runtime.so")


def model(version):
    """The options of `skerry model publish` for a version of the model."""
    return [CACHE / "silero-vad" / MODELS[version], "--name", MODEL_NAME, "--component", MODEL, "--version", version,
            "--contract", EXAMPLES / "vad_model/contract.json"]


def compiled_model(artifact, source):
    """The same for what `skerry model compile` has made of `source`."""
    return [artifact, "--name", COMPILED_NAME, "--component", COMPILED, "--version", "1.0.0", "--source", source,
            "--contract", EXAMPLES / "vad_model/contract.compiled.json"]


def shell(folder, name, version, run):
    """A component that is a line of shell."""
    return write_recipe(folder, {"RecipeFormatVersion": "2020-01-25", "ComponentName": name, "ComponentVersion": version,
                                 "Manifests": [{"Platform": {"os": "linux", "runtime": "*"}, "Lifecycle": {"Run": run}}]})


def with_artifact(folder, example, artifact):
    path = write_recipe(folder, yaml.safe_load((EXAMPLES / example / "recipe.yaml").read_text()))
    name = f"{artifact.name.partition('.')[0]}.so" if example in LIBRARIES else artifact.name
    (folder / name).symlink_to(artifact.resolve())
    return path


def write_recipe(folder, recipe):
    folder.mkdir(parents=True)
    path = folder / "recipe.yaml"
    path.write_text(json.dumps(recipe, indent=2))  # every JSON document is YAML
    return path


def write_zip(path, files):
    """Stored, not compressed (wheels are archives already), and the same bytes for the same files."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(files):
            archive.writestr(zipfile.ZipInfo(file.name), file.read_bytes())
