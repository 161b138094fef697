"""Predictions and noise models of the joint and of the area-wise models."""

from kedro.pipeline import Node, Pipeline

from gnet.pipelines.fit_and_score.pipeline import summarising
from gnet.pipelines.selecting import by_keyword, model_files, named_node

from .nodes import fit_noise_model, predict_images, predict_pictures, score_imported


def create_pipeline(areas: tuple[str, ...]) -> Pipeline:
    """Two nodes for each kind of model: predict, then fit the noise."""
    return sum((predicting(model, *parts) for model, parts in model_files(areas).items()), Pipeline([]))


def predicting(model: str, *parts: str) -> Pipeline:
    """Predict every image with a model, of one dataset or several, and fit its noise."""
    data = ("images", "image_ids", "subject_images", "voxels", "params:prediction", "params:fitting")
    predictions = f"{model}_predictions"
    measured = [predictions, "betas", "voxels", "trials"]
    return Pipeline(
        [
            Node(predict_images, by_keyword(*data, *parts), predictions, name=f"predict_{model}"),
            Node(fit_noise_model, measured, f"{model}_noise_model", name=f"fit_noise_of_{model}"),
        ]
    )


def create_pictures_pipeline(areas: tuple[str, ...]) -> Pipeline:
    """Predictions for a folder of pictures: not part of the default, because it needs one."""
    inputs = {
        model: by_keyword("voxels", "params:images", "params:prediction", "params:fitting", *parts)
        for model, parts in model_files(areas).items()
    }
    return Pipeline(
        [
            Node(predict_pictures, needed, f"{model}_pictures", name=f"predict_pictures_{model}")
            for model, needed in inputs.items()
        ]
    )


def create_imported_pipeline() -> Pipeline:
    """The same of a model from elsewhere, and its accuracy: not part of the default, because it needs one."""
    inputs = ["images", "betas", "voxels", "trials", "imported", "params:scoring", "params:fitting"]
    scoring = named_node(score_imported, inputs, "imported_accuracy")
    return predicting("imported", "imported") + Pipeline([scoring, summarising("imported")])
