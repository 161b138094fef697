"""Predictions and noise models of the joint and of the area-wise models."""

from kedro.pipeline import Node, Pipeline

from gnet.pipelines.measured import model_files

from .nodes import fit_noise_model, predict_images, predict_pictures


def create_pipeline(areas: tuple[str, ...]) -> Pipeline:
    """Two nodes for each kind of model: predict, then fit the noise."""
    nodes = []
    for model, parts in model_files(areas).items():
        nodes += [
            Node(
                predict_images,
                inputs=[
                    "images",
                    "image_ids",
                    "subject_images",
                    "voxels",
                    "params:prediction",
                    "params:fitting",
                    *parts,
                ],
                outputs=f"{model}_predictions",
                name=f"predict_{model}",
            ),
            Node(
                fit_noise_model,
                inputs=[f"{model}_predictions", "betas", "voxels", "trials"],
                outputs=f"{model}_noise_model",
                name=f"fit_noise_of_{model}",
            ),
        ]
    return Pipeline(nodes)


def create_pictures_pipeline(areas: tuple[str, ...]) -> Pipeline:
    """Predictions for a folder of pictures: not part of the default, because it needs one."""
    return Pipeline(
        [
            Node(
                predict_pictures,
                inputs=["voxels", "params:images", "params:prediction", "params:fitting", *parts],
                outputs=f"{model}_pictures",
                name=f"predict_pictures_{model}",
            )
            for model, parts in model_files(areas).items()
        ]
    )
