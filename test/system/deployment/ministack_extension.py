"""MiniStack (a pinned emulator of AWS APIs) with what the gateway's stack needs beyond it.

Four kinds of additions, each for behavior that AWS documents and the emulator lacks:
- resource types: AWS::EC2::EIP, FlowLog, SecurityGroupIngress, SecurityGroupEgress, PrefixList, AWS::Logs::QueryDefinition;
- properties that its handlers drop: subnet mappings and addresses of a load balancer, listener attributes, the health
  check grace period of a service, the ARN as the value of Ref for a secret;
- the history of alarm actions, by the policy of the topic;
- a call to HOOK_URL after each change, which waits for the answer: CloudFormation waits the same way until a service is
  stable, and the test behind the hook plays ECS and the load balancer's data plane.
"""

import functools
import json
import os
import sys
import urllib.error
import urllib.request

from ministack.core.responses import new_uuid
from ministack.services import alb, cloudwatch, ec2, ecs, s3, sns
from ministack.services.cloudformation import provisioners, stacks

HOOK_URL = os.environ.get("HOOK_URL", "")
# Addresses come from here, so that a deployed Elastic IP is one that the test can listen on.
ELASTIC_IP_PREFIX = os.environ["ELASTIC_IP_PREFIX"]
HANDLERS = provisioners._RESOURCE_HANDLERS


def short_id(prefix):
    return f"{prefix}-{new_uuid().replace('-', '')[:17]}"


def keep(physical_id, old, new, stack):
    return physical_id, {}


# Elastic IPs


elastic_ips_made = 0


def create_elastic_ip(logical_id, properties, stack):
    global elastic_ips_made
    elastic_ips_made += 1
    ec2._ensure_defaults_initialized()
    allocation_id = short_id("eipalloc")
    address = f"{ELASTIC_IP_PREFIX}{elastic_ips_made}"
    ec2._addresses[allocation_id] = {
        "AllocationId": allocation_id,
        "PublicIp": address,
        "Domain": properties.get("Domain", "vpc"),
        "AssociationId": None,
        "InstanceId": None,
        "NetworkInterfaceId": None,
        "PrivateIpAddress": None,
    }
    provisioners._ec2_apply_tags(allocation_id, properties)
    return address, {"AllocationId": allocation_id, "PublicIp": address}


def delete_elastic_ip(physical_id, properties):
    for allocation_id, address in list(ec2._addresses.items()):
        if address["PublicIp"] == physical_id:
            del ec2._addresses[allocation_id]


# Flow logs


def create_flow_log(logical_id, properties, stack):
    flow_log_id = short_id("fl")
    ec2._flow_logs[flow_log_id] = {
        "FlowLogId": flow_log_id,
        "ResourceId": properties["ResourceId"],
        "ResourceType": properties["ResourceType"],
    }
    return flow_log_id, {"Id": flow_log_id}


def delete_flow_log(physical_id, properties):
    ec2._flow_logs.pop(physical_id, None)


# Rules of a security group as resources of their own


def rule_handlers(field):
    def permissions(properties):
        return provisioners._ec2_sg_permissions([properties])

    def create(logical_id, properties, stack):
        group = ec2._security_groups[properties["GroupId"]]
        added = permissions(properties)
        if any(existing in added for existing in group[field]):
            # CloudFormation fails likewise: InvalidPermission.Duplicate.
            raise ValueError(f"the specified rule already exists: {added}")
        group[field] = group[field] + added
        return short_id("sgr"), {}

    def delete(physical_id, properties):
        group = ec2._security_groups.get(properties["GroupId"])
        if group is None:
            return
        removed = permissions(properties)
        group[field] = [permission for permission in group[field] if permission not in removed]

    def update(physical_id, old, new, stack):
        created = create("", new, stack)
        delete(physical_id, old)
        return created

    return {"create": create, "update": update, "delete": delete}


# Prefix lists


def prefix_list_entries(properties):
    return [
        {"Cidr": entry["Cidr"], "Description": entry.get("Description", "")}
        for entry in properties.get("Entries", [])
    ]


def create_prefix_list(logical_id, properties, stack):
    prefix_list_id = short_id("pl")
    ec2._prefix_lists[prefix_list_id] = {
        "PrefixListId": prefix_list_id,
        "PrefixListName": properties["PrefixListName"],
        "State": "create-complete",
        "AddressFamily": properties["AddressFamily"],
        "MaxEntries": properties["MaxEntries"],
        "Version": 1,
        "OwnerId": provisioners.get_account_id(),
        "Entries": prefix_list_entries(properties),
    }
    return prefix_list_id, {"PrefixListId": prefix_list_id}


def update_prefix_list(physical_id, old, new, stack):
    ec2._prefix_lists[physical_id]["Entries"] = prefix_list_entries(new)
    return physical_id, {"PrefixListId": physical_id}


def delete_prefix_list(physical_id, properties):
    ec2._prefix_lists.pop(physical_id, None)


# Saved queries: nothing reads them here.


def create_query(logical_id, properties, stack):
    return new_uuid(), {}


HANDLERS.update(
    {
        "AWS::EC2::EIP": {"create": create_elastic_ip, "delete": delete_elastic_ip},
        "AWS::EC2::FlowLog": {"create": create_flow_log, "delete": delete_flow_log},
        "AWS::EC2::SecurityGroupIngress": rule_handlers("IpPermissions"),
        "AWS::EC2::SecurityGroupEgress": rule_handlers("IpPermissionsEgress"),
        "AWS::EC2::PrefixList": {
            "create": create_prefix_list,
            "update": update_prefix_list,
            "delete": delete_prefix_list,
        },
        "AWS::Logs::QueryDefinition": {"create": create_query, "update": keep, "delete": lambda *_: None},
    }
)


# What the emulator's handlers drop


def wrap(resource_type, operation, after):
    handler = HANDLERS[resource_type] = dict(HANDLERS[resource_type])
    original = handler[operation]

    def wrapped(*arguments, **named):
        result = original(*arguments, **named)
        return after(result, *arguments, **named)

    handler[operation] = wrapped


def secret_created(result, logical_id, properties, *rest, **named):
    _, attributes = result
    return attributes["Arn"], attributes


def load_balancer_created(result, logical_id, properties, *rest, **named):
    arn, attributes = result
    addresses = {address["AllocationId"]: address["PublicIp"] for address in ec2._addresses.values()}
    alb._lbs[arn]["Mappings"] = [
        (mapping["SubnetId"], mapping.get("AllocationId", ""), addresses.get(mapping.get("AllocationId"), ""))
        for mapping in properties.get("SubnetMappings", [])
    ]
    return arn, attributes


original_load_balancer_xml = alb._lb_xml


def load_balancer_xml(load_balancer):
    text = original_load_balancer_xml(load_balancer)
    zones = "".join(
        f"<member><ZoneName>{ec2._subnets[subnet]['AvailabilityZone']}</ZoneName><SubnetId>{subnet}</SubnetId>"
        f"<LoadBalancerAddresses><member><IpAddress>{address}</IpAddress>"
        f"<AllocationId>{allocation}</AllocationId></member></LoadBalancerAddresses></member>"
        for subnet, allocation, address in load_balancer.get("Mappings", [])
    )
    return text.replace("<AvailabilityZones></AvailabilityZones>", f"<AvailabilityZones>{zones}</AvailabilityZones>")


alb._lb_xml = load_balancer_xml


def listener_created(result, logical_id, properties, *rest, **named):
    arn, attributes = result
    alb._listener_attrs[arn] = [
        {"Key": attribute["Key"], "Value": str(attribute["Value"])}
        for attribute in properties.get("ListenerAttributes", [])
    ]
    return arn, attributes


def service_created(result, logical_id, properties, *rest, **named):
    arn, attributes = result
    cluster, name = arn.split(":service/")[1].split("/", 1)
    service = ecs._services.get(f"{cluster}/{name}") or ecs._services[f"{properties['Cluster']}/{name}"]
    service["healthCheckGracePeriodSeconds"] = int(properties.get("HealthCheckGracePeriodSeconds", 0))
    return arn, attributes


def accept_queries(handler):
    # The emulator knows no alarms on queries; it keeps them as alarms on a metric that has the query's name.
    def plain(properties):
        if "Metrics" not in properties:
            return properties
        rest = {key: value for key, value in properties.items() if key != "Metrics"}
        return {**rest, "Namespace": "Query", "MetricName": properties["Metrics"][0]["Expression"], "Statistic": "Maximum",
                "Period": 60}

    original_create, original_update = handler["create"], handler["update"]
    handler["create"] = lambda logical_id, properties, *rest, **named: original_create(
        logical_id, plain(properties), *rest, **named
    )
    handler["update"] = lambda physical_id, old, new, *rest, **named: original_update(
        physical_id, plain(old), plain(new), *rest, **named
    )


accept_queries(HANDLERS["AWS::CloudWatch::Alarm"])
# S3 writes an empty element as <Prefix></Prefix>.
s3.tostring = functools.partial(s3.tostring, short_empty_elements=False)

wrap("AWS::SecretsManager::Secret", "create", secret_created)
wrap("AWS::ElasticLoadBalancingV2::LoadBalancer", "create", load_balancer_created)
wrap("AWS::ElasticLoadBalancingV2::Listener", "create", listener_created)
wrap("AWS::ECS::Service", "create", service_created)


# Alarm actions: CloudWatch publishes to a topic whose policy lets it, and its history says whether the action succeeded


def allows_cloudwatch(topic_arn):
    policy = sns._topics[topic_arn]["attributes"].get("Policy")
    if not policy:
        # The default policy of a topic lets the account's services publish.
        return True
    return any(
        statement["Effect"] == "Allow"
        and statement.get("Principal", {}).get("Service") == "cloudwatch.amazonaws.com"
        and "sns:Publish" in statement["Action"]
        and statement.get("Resource") == topic_arn
        for statement in json.loads(policy)["Statement"]
    )


dispatch_alarm_actions = cloudwatch._dispatch_alarm_actions


def alarm_actions_dispatched(alarm, old_state, new_state, reason):
    dispatch_alarm_actions(alarm, old_state, new_state, reason)
    for topic_arn in alarm.get("AlarmActions", []) if new_state == "ALARM" else []:
        result = "Successfully executed" if allows_cloudwatch(topic_arn) else "Failed to execute"
        cloudwatch._record_history(alarm["AlarmName"], old_state, new_state, reason)
        cloudwatch._history_entries()[-1].update(
            HistoryItemType="Action", HistorySummary=f"{result} action {topic_arn}"
        )


cloudwatch._dispatch_alarm_actions = alarm_actions_dispatched


# The hook


def notify(operation, resource_type, physical_id):
    if HOOK_URL == "":
        return
    body = json.dumps({"operation": operation, "type": resource_type, "physicalId": physical_id}).encode()
    request = urllib.request.Request(HOOK_URL, data=body, headers={"content-type": "application/json"})
    try:
        urllib.request.urlopen(request, timeout=600).close()
    except urllib.error.HTTPError as error:
        # The body is the reason; without it the events of the stack would only say "Internal Server Error".
        raise ValueError(f"{resource_type} {physical_id}: {error.read().decode()}") from error


HOOKED = (
    "AWS::ECS::Service",
    "AWS::ElasticLoadBalancingV2::Listener",
    "AWS::EC2::SecurityGroup",
    "AWS::EC2::SecurityGroupIngress",
    "AWS::EC2::SecurityGroupEgress",
)


# CloudFormation sends all values of a service that changes, so that a family means its newest revision then; the emulator sends
# only what differs.
service_handler = HANDLERS["AWS::ECS::Service"] = dict(HANDLERS["AWS::ECS::Service"])
update_service = service_handler["update"]
service_handler["update"] = lambda physical_id, old, new, *rest, **named: update_service(
    physical_id, {key: value for key, value in old.items() if key != "TaskDefinition"}, new, *rest, **named
)


def hook(resource_type):
    for operation in ("create", "update"):
        if operation in HANDLERS[resource_type]:

            def after(result, *_, _operation=operation, **__):
                notify(_operation, resource_type, result[0])
                return result

            wrap(resource_type, operation, after)

    def removed(result, physical_id, *_, **__):
        notify("delete", resource_type, physical_id)
        return result

    wrap(resource_type, "delete", removed)


for hooked in HOOKED:
    hook(hooked)

# The answer to the hook takes requests to the emulator, which must not wait for this thread.
runs_on_worker_thread = stacks._runs_on_worker_thread
stacks._runs_on_worker_thread = lambda resource_type: resource_type in HOOKED or runs_on_worker_thread(resource_type)

from ministack.app import main  # noqa: E402 (the handlers must be there before the application starts)

sys.exit(main())
