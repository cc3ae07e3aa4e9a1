"""The task definition of docs/aws.md, as ECS takes it. moto imitates ECS: this shows its shape, not its effect."""

import json
import re
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from script.stack.procfile import read_procfile
from shared.settings import Settings

CHECKOUT = Path(__file__).parents[2]
PAGE = (CHECKOUT / "docs" / "aws.md").read_text()


@pytest.fixture
def definition() -> dict[str, Any]:
    (found,) = re.findall(r"^```json\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return dict(json.loads(found))


def test_ecs_takes_the_definition(definition: dict[str, Any]) -> None:
    with mock_aws():
        account = {"region_name": "eu-central-1", "aws_access_key_id": "key", "aws_secret_access_key": "secret"}
        ecs, subnets = boto3.client("ecs", **account), boto3.client("ec2", **account).describe_subnets()["Subnets"]
        ecs.create_cluster(clusterName="waymark")
        registered = ecs.register_task_definition(**definition)["taskDefinition"]
        service = ecs.create_service(
            cluster="waymark",
            serviceName="web",
            taskDefinition="web",
            desiredCount=2,
            launchType="FARGATE",
            networkConfiguration={"awsvpcConfiguration": {"subnets": [subnets[0]["SubnetId"]], "securityGroups": []}},
            deploymentConfiguration={
                "deploymentCircuitBreaker": {"enable": True, "rollback": True},
                "minimumHealthyPercent": 100,
                "maximumPercent": 200,
            },
        )["service"]
    assert (registered["family"], registered["revision"], service["desiredCount"]) == ("web", 1, 2)


def test_definition_names_a_command_and_settings_that_exist(definition: dict[str, Any]) -> None:
    (web,) = definition["containerDefinitions"]
    assert " ".join(web["command"]) == read_procfile(CHECKOUT / "Procfile")["web"].replace('"', "")
    names = {each["name"] for each in (*web["environment"], *web["secrets"])}
    assert names <= {name.upper() for name in Settings.model_fields}
    assert {name.upper() for name, field in Settings.model_fields.items() if field.is_required()} <= names
