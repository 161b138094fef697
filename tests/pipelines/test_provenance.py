"""Results of one model are not mixed with those of another that was fitted later."""

import json
import shlex


def made_from(project, layer, name):
    [path] = (project.data / layer / name).glob("*/record.json")
    return json.loads(path.read_text())["sources"]


def version(project, layer, name):
    return max(path.name for path in (project.data / layer / name).iterdir())


def test_a_result_says_what_it_was_made_from(encoded):
    joint = version(encoded, "06_models", "gnet8j.h5")
    assert made_from(encoded, "06_models", "gnet8j.h5") == dict.fromkeys(
        ("betas", "images", "prefilter", "trials")
    )
    assert made_from(encoded, "07_model_output", "gnet8j_accuracy.parquet") == {
        "gnet8j": joint,
        **dict.fromkeys(("betas", "images", "trials")),
    }
    areas = {
        f"{area}_gnet8r_accuracy": version(encoded, "07_model_output", f"{area}_gnet8r_accuracy.parquet")
        for area in ("V1", "V2", "V3", "hV4")
    }
    assert made_from(encoded, "07_model_output", "gnet8r_accuracy.parquet") == areas


def test_predictions_of_a_model_that_was_fitted_again_are_not_used(encoded):
    encoded.run("prediction")
    before = version(encoded, "06_models", "gnet8j.h5")
    encoded.run("encoding_joint", fitting={"seed": 5})
    after = version(encoded, "06_models", "gnet8j.h5")
    message, _ = encoded.refused("synthetic", fitting={"seed": 5})
    assert message == "\n".join(
        [
            "",
            "OutdatedError: stored data were made with other parameters, or from other versions, than this "
            "run uses:",
            f"- gnet8j_predictions: made from gnet8j of {before}, in use is {after}",
            "Make them again: kedro run --env tiny --pipelines prediction --to-outputs "
            "gnet8j_noise_model,gnet8j_predictions --params fitting.seed=5",
            "Or set the parameters back. Or choose versions that belong together: --load-versions "
            "NAME:VERSION,... Or keep both: another folder in GNET_DATA.",
        ]
    )


def test_the_command_in_the_message_makes_it_right(encoded):
    encoded.run("prediction")
    encoded.run("encoding_joint")
    message, _ = encoded.refused("synthetic")
    command = shlex.split(message.split("Make them again: ")[1].splitlines()[0])
    outputs = "gnet8j_noise_model,gnet8j_predictions"
    assert command == [
        *("kedro", "run", "--env", "tiny", "--pipelines", "prediction", "--to-outputs", outputs)
    ]
    encoded.run("prediction", only=outputs.split(","))
    assert "make_synthetic_responses" in encoded.run("synthetic", only=["synthetic.betas"]).nodes


def test_a_run_that_fits_anew_does_not_take_results_of_the_old_one(encoded):
    encoded.run("prediction")
    old = version(encoded, "06_models", "gnet8j.h5")
    message, run = encoded.failed("encoding_joint", "synthetic")
    assert f"- gnet8j_predictions: made from gnet8j of {old}, this run makes another" in message
    assert run.nodes == []


def test_results_without_a_record_are_taken_as_they_are(encoded):
    encoded.run("prediction")
    for path in (encoded.data / "07_model_output").glob("*/*/record.json"):
        path.unlink()
    encoded.run("encoding_joint")
    assert "make_synthetic_responses" in encoded.run("synthetic", only=["synthetic.betas"]).nodes
