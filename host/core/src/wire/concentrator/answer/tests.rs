//! Answers: read as written, in every generation.

use proptest::prelude::*;

use super::super::super::form::{FormField, FormKind};
use super::super::super::losses::is_lost;
use super::super::super::stanza::Condition;
use super::super::command::CommandKind;
use super::super::node::{HealthState, MessageKind, NodeMessage, NodeParameter};
use super::super::request::{Detail, NodeEvents, Operation, Request, Targets};
use super::*;
use crate::model::{Decimal, NodeRef, Value};

fn request(dialect: Dialect, operation: Operation) -> Head {
    Request::new(dialect, operation).head()
}

fn form() -> Form {
    let field = FormField { var: "a".to_owned(), error: "Too much.".to_owned(), ..FormField::default() };
    Form { kind: FormKind::Form, fields: vec![field], ..Form::default() }
}

fn commands() -> Vec<Command> {
    let command = |kind| Command {
        id: "c".to_owned(),
        name: "C".to_owned(),
        kind,
        sort_category: "1".to_owned(),
        sort_key: "2".to_owned(),
        confirmation: "Sure?".to_owned(),
        failure: "No.".to_owned(),
        success: "Yes.".to_owned(),
    };
    [CommandKind::Simple, CommandKind::Parametrized, CommandKind::Query].map(command).to_vec()
}

/// An answer that fits each operation.
fn dialogue(node: NodeInfo, source: DataSource, name: String) -> Vec<(Operation, Answer)> {
    let (detail, of) = (Detail::default(), || NodeRef::new("n", "s"));
    let nodes = Answer::Nodes(vec![node.clone(), node.clone()]);
    let sources = Answer::DataSources(vec![source]);
    vec![
        (Operation::GetCapabilities, Answer::Capabilities(vec![name])),
        (Operation::GetAllDataSources, sources.clone()),
        (Operation::GetRootDataSources, sources),
        (Operation::ContainsNode(of()), Answer::Contains(true)),
        (Operation::ContainsNode(of()), Answer::Contains(false)),
        (Operation::ContainsNodes(vec![of(), of()]), Answer::ContainsEach(vec![true, false])),
        (Operation::GetNodes { nodes: vec![of(), of()], detail }, nodes.clone()),
        (Operation::GetNode { node: of(), detail }, Answer::Node(Box::new(node))),
        (Operation::GetAllNodes { source: "s".to_owned(), detail, types: vec![] }, nodes.clone()),
        (Operation::GetRootNodes { source: "s".to_owned(), detail }, nodes.clone()),
        (Operation::GetChildNodes { node: of(), detail }, nodes.clone()),
        (Operation::GetAncestors { node: of(), detail }, nodes),
        (
            Operation::GetChildNodes { node: of(), detail },
            Answer::Part(vec![], Place { count: Some(3), ..Place::default() }),
        ),
        (Operation::GetChildDataSources("s".to_owned()), Answer::DataSources(vec![])),
        (
            Operation::GetNodeInheritance(of()),
            Answer::Inheritance { base_classes: vec!["a".to_owned()], interfaces: vec!["b".to_owned()] },
        ),
        (Operation::GetAddableNodeTypes(of()), Answer::NodeTypes(vec![("t".to_owned(), "T".to_owned())])),
        (Operation::GetParametersForEdit(Targets::One(of())), Answer::Form(form())),
        (Operation::GetParametersForEdit(Targets::Common(vec![of()])), Answer::Form(form())),
        (Operation::GetCommands(Targets::One(of())), Answer::Commands(vec![])),
        (Operation::GetCommands(Targets::Common(vec![of()])), Answer::Commands(commands())),
        (Operation::GetCommandParameters { of: Targets::One(of()), command: "c".to_owned() }, Answer::Form(form())),
        (
            Operation::ExecuteCommand { of: Targets::Common(vec![of()]), command: "c".to_owned(), form: None },
            Answer::Executed(vec![Ok(()), Err("No.".to_owned())]),
        ),
        (Operation::ExecuteCommand { of: Targets::One(of()), command: "c".to_owned(), form: None }, Answer::Done),
        (Operation::Unsubscribe { source: "s".to_owned(), events: NodeEvents::all() }, Answer::Done),
    ]
}

fn reread(reply: Reply) -> Result<Answer, StanzaFault> {
    match reply {
        Reply::Result(payload) => {
            Answer::parse(payload.map(|payload| String::from(&payload).parse().unwrap()).as_ref())
        }
        Reply::Error(fault) => Err(fault),
    }
}

#[test]
fn reads_the_example() {
    let xml = "<nodeInfos xmlns='urn:nf:iot:concentrator:1.0'><nodeInfo id='bus1' src='MeteringTopology' nodeType='bridge.ModbusBus'
        displayName='Modbus bus' state='None' hasChildren='true' lastChanged='2025-03-01T10:00:00Z'/></nodeInfos>";
    let Ok(Answer::Nodes(nodes)) = Answer::parse(Some(&xml.parse().unwrap())) else { panic!() };
    assert_eq!((nodes[0].node.clone(), nodes[0].has_children), (NodeRef::new("bus1", "MeteringTopology"), true));
}

#[test]
fn reads_the_node_of_the_example() {
    let xml = "<nodeInfo xmlns='urn:nf:iot:concentrator:1.0' id='m1' src='MeteringTopology' nodeType='bridge.ModbusMeter'
        displayName='Modbus meter' state='WarningUnsigned' hasChildren='false' isReadable='true' hasCommands='true' parentId='bus1'
        lastChanged='2025-03-01T10:00:00Z'><string id='addr' name='Address' value='17'/>
        <message timestamp='2025-03-01T09:59:00Z' type='Warning' eventId='SlowReply'>Reply took 3 s.</message></nodeInfo>";
    let Ok(Answer::Node(node)) = Answer::parse(Some(&xml.parse().unwrap())) else { panic!() };
    assert_eq!(node.parent, Some(NodeRef::new("bus1", "MeteringTopology")));
    assert_eq!(
        (node.state, node.parameters[0].value.clone()),
        (HealthState::WarningUnsigned, Value::Text("17".to_owned()))
    );
    assert_eq!((node.messages[0].kind, node.messages[0].event_id.as_str()), (MessageKind::Warning, "SlowReply"));
}

#[test]
fn required_attributes_are_always_written() {
    for dialect in Dialect::ALL {
        let node = NodeInfo { node: NodeRef::new("n", "s"), ..NodeInfo::default() };
        let detail = Detail::default();
        let asked = request(dialect, Operation::GetNode { node: node.node.clone(), detail });
        let Reply::Result(Some(written)) = answer(&asked, &Answer::Node(Box::new(node))) else { panic!() };
        assert_eq!((written.attr("state"), written.attr("hasChildren")), (Some("None"), Some("false")));
    }
}

#[test]
fn the_first_generation_refuses_in_a_result() {
    let asked = |dialect| request(dialect, Operation::Unsupported("destroyNode".to_owned()));
    let Reply::Result(Some(refusal)) = refuse(&asked(Dialect::Xmpp), StanzaFault::not_implemented()) else { panic!() };
    assert_eq!((refusal.name(), refusal.attr("result")), ("destroyNodeResponse", Some("NotImplemented")));
    assert_eq!(Answer::parse(Some(&refusal)).unwrap_err().condition, Condition::FeatureNotImplemented);
    assert_eq!(
        refuse(&asked(Dialect::Nf), StanzaFault::not_implemented()),
        Reply::Error(StanzaFault::not_implemented())
    );
}

#[test]
fn what_is_no_answer_is_an_error() {
    for xml in [
        "<odd xmlns='urn:nf:iot:concentrator:1.0'/>",
        "<odd xmlns='urn:xmpp:iot:concentrators'/>",
        "<strings xmlns='other'/>",
        "<nodeInfo xmlns='urn:nf:iot:concentrator:1.0'/>",
    ] {
        assert!(Answer::parse(Some(&xml.parse().unwrap())).is_err(), "{xml}");
    }
    assert_eq!(Answer::parse(None), Ok(Answer::Done));
}

fn any_node() -> impl Strategy<Value = NodeInfo> {
    let text = || "[^\\x00-\\x1f\u{fffe}\u{ffff}]{1,8}";
    let state = proptest::sample::select(
        &[
            HealthState::None,
            HealthState::Information,
            HealthState::WarningSigned,
            HealthState::WarningUnsigned,
            HealthState::ErrorSigned,
            HealthState::ErrorUnsigned,
        ][..],
    );
    let kind = proptest::sample::select(&[MessageKind::Error, MessageKind::Warning, MessageKind::Information][..]);
    (proptest::array::uniform4(text()), state, kind, any::<[bool; 6]>(), 0..4_000_000_000_000_000_i64, any::<i64>())
        .prop_map(
            |(
                [id, other, name, node_type],
                state,
                kind,
                [has_children, children_ordered, readable, controllable, has_commands, sniffable],
                at,
                digits,
            )| {
                let node = NodeRef { partition: other.clone(), ..NodeRef::new(id, "s") };
                NodeInfo {
                    parent: Some(NodeRef { id: name.clone(), ..node.clone() }),
                    node,
                    local_id: Some(other.clone()),
                    log_id: has_children.then(|| name.clone()),
                    display_name: name.clone(),
                    node_type,
                    state,
                    has_children,
                    children_ordered,
                    readable,
                    controllable,
                    has_commands,
                    sniffable,
                    last_changed: Some(Timestamp(at)),
                    parameters: vec![NodeParameter {
                        id: other.clone(),
                        name: name.clone(),
                        value: Value::Decimal(Decimal { digits, scale: 2 }),
                    }],
                    messages: vec![NodeMessage { at: Timestamp(at), kind, event_id: other, text: name }],
                }
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_answer_is_read_as_it_was_written(dialect in proptest::sample::select(&Dialect::ALL[..]), node in any_node(), name in "[a-z<&]{0,8}") {
        let node = NodeInfo { sniffable: node.sniffable && !is_lost("concentrator.node.sniffable", dialect), ..node };
        let source = DataSource { id: name.clone(), name: name.clone(), has_children: node.readable, last_changed: node.last_changed };
        for (operation, given) in dialogue(node, source, name) {
            prop_assert_eq!(reread(answer(&request(dialect, operation), &given)), Ok(given));
        }
    }
}
