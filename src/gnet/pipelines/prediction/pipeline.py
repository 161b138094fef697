"""Predictions and noise models of the joint and of the area-wise models."""

from kedro.pipeline import Node, Pipeline

from gnet.pipelines.fit_and_score import summarising
from gnet.pipelines.selecting import by_keyword, model_files

from .nodes import fit_noise_model, predict_images, predict_pictures, score_imported


def create_pipeline(areas: tuple[str, ...]) -> Pipeline:
    """Two nodes for each kind of model: predict, then fit the noise."""
    return Pipeline(
        [node for model, parts in model_files(areas).items() for node in predicting(model, parts)]
    )


def predicting(model: str, parts: list[str]) -> list[Node]:
    """The nodes that predict every image with a model, of one dataset or several, and fit its noise."""
    return [
        Node(
            predict_images,
            inputs={
                **by_keyword(["images", "image_ids", "subject_images", "voxels"]),
                "prediction": "params:prediction",
                "fitting": "params:fitting",
                **by_keyword(parts),
            },
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


def create_pictures_pipeline(areas: tuple[str, ...]) -> Pipeline:
    """Predictions for a folder of pictures: not part of the default, because it needs one."""
    return Pipeline(
        [
            Node(
                predict_pictures,
                inputs={
                    "voxels": "voxels",
                    "preparation": "params:images",
                    "prediction": "params:prediction",
                    "fitting": "params:fitting",
                    **by_keyword(parts),
                },
                outputs=f"{model}_pictures",
                name=f"predict_pictures_{model}",
            )
            for model, parts in model_files(areas).items()
        ]
    )


def create_imported_pipeline() -> Pipeline:
    """The same of a model from elsewhere, and its accuracy: not part of the default, because it needs one."""
    scoring = Node(
        score_imported,
        inputs=["images", "betas", "voxels", "trials", "imported", "params:scoring", "params:fitting"],
        outputs="imported_accuracy",
        name="score_imported",
    )
    return Pipeline([*predicting("imported", ["imported"]), scoring, summarising("imported")])
