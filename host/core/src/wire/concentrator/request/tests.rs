//! Requests: read as written, refused where they make no sense.

use proptest::prelude::*;

use super::super::super::form::{Form, FormField, FormKind};
use super::super::super::losses::is_lost;
use super::super::super::stanza::Condition;
use super::*;
use crate::model::{NodeRef, Timestamp};

fn parse(xml: &str) -> Result<Request, StanzaFault> {
    let payload: Element = xml.parse().unwrap();
    Request::parse(&payload, Dialect::from_concentrator_ns(&payload.ns()).unwrap())
}

#[test]
fn reads_the_example() {
    let request = parse("<getRootNodes xmlns='urn:nf:iot:concentrator:1.0' src='MeteringTopology' parameters='true' messages='true' xml:lang='en'/>").unwrap();
    let detail = Detail { parameters: true, messages: true };
    assert_eq!(request.operation, Operation::GetRootNodes { source: "MeteringTopology".to_owned(), detail });
    assert_eq!(request.lang.as_deref(), Some("en"));
}

#[test]
fn subscriptions_want_everything_unless_told_otherwise() {
    let request = parse(
        "<subscribe xmlns='urn:nf:iot:concentrator:1.0' src='s' ttl='60' nodeMovedUp='false' nodeMovedDown='0'/>",
    )
    .unwrap();
    let Operation::Subscribe { ttl_s, events, .. } = request.operation else { panic!() };
    assert_eq!((ttl_s, events), (Some(60), NodeEvents::all() - NodeEvents::MOVED_UP - NodeEvents::MOVED_DOWN));
    assert!(parse("<subscribe xmlns='urn:xmpp:iot:concentrators' sourceId='s'/>").is_ok());
}

#[test]
fn refuses_what_names_nothing_or_never_ends() {
    for xml in [
        "<getNode xmlns='urn:nf:iot:concentrator:1.0' src='s'/>",
        "<getNodes xmlns='urn:nf:iot:concentrator:1.0'/>",
        "<getRootNodes xmlns='urn:nf:iot:concentrator:1.0'/>",
        "<getAllNodes xmlns='urn:xmpp:iot:concentrators' src='s'/>",
        "<subscribe xmlns='urn:nf:iot:concentrator:1.0' src='s'/>",
        "<subscribe xmlns='urn:nf:iot:concentrator:1.0' src='s' ttl='0'/>",
        "<subscribe xmlns='urn:nf:iot:concentrator:1.0' src='s' ttl='1' getEventsSince='x'/>",
    ] {
        assert_eq!(parse(xml).unwrap_err().condition, Condition::BadRequest, "{xml}");
    }
}

#[test]
fn keeps_the_name_of_what_is_not_served() {
    let request = parse("<destroyNode xmlns='urn:nf:iot:concentrator:1.0' id='a'/>").unwrap();
    assert_eq!(request.operation, Operation::Unsupported("destroyNode".to_owned()));
}

fn any_operation() -> impl Strategy<Value = Operation> {
    let text = "[^\\x00-\\x1f\u{fffe}\u{ffff}]{1,8}";
    let detail =
        || proptest::array::uniform2(any::<bool>()).prop_map(|[parameters, messages]| Detail { parameters, messages });
    let node = move || text.prop_map(|id| NodeRef { partition: id.clone(), ..NodeRef::new(id, "s") });
    let targets = move || {
        prop_oneof![node().prop_map(Targets::One), proptest::collection::vec(node(), 1..3).prop_map(Targets::Common)]
    };
    let form = move || {
        text.prop_map(|var| {
            let field = FormField { values: vec![var.clone()], var, ..FormField::default() };
            Form { kind: FormKind::Submit, fields: vec![field], ..Form::default() }
        })
    };
    let events = || (0..64_u8).prop_map(NodeEvents::from_bits_truncate);
    let since = proptest::option::of((0..4_000_000_000_000_000_i64).prop_map(Timestamp));
    prop_oneof![
        Just(Operation::GetCapabilities),
        Just(Operation::GetAllDataSources),
        Just(Operation::GetRootDataSources),
        node().prop_map(Operation::ContainsNode),
        node().prop_map(Operation::GetNodeInheritance),
        node().prop_map(Operation::GetAddableNodeTypes),
        targets().prop_map(Operation::GetCommands),
        targets().prop_map(Operation::GetParametersForEdit),
        (targets(), form()).prop_map(|(of, form)| Operation::SetParametersAfterEdit { of, form }),
        (targets(), text).prop_map(|(of, command)| Operation::GetCommandParameters { of, command }),
        (targets(), text, proptest::option::of(form())).prop_map(|(of, command, form)| Operation::ExecuteCommand {
            of,
            command,
            form
        }),
        (targets(), text, text, proptest::option::of(form()))
            .prop_map(|(of, command, query, form)| Operation::ExecuteQuery { of, command, query, form }),
        (targets(), text, text).prop_map(|(of, command, query)| Operation::AbortQuery { of, command, query }),
        text.prop_map(Operation::GetChildDataSources),
        proptest::collection::vec(node(), 1..3).prop_map(Operation::ContainsNodes),
        (proptest::collection::vec(node(), 1..3), detail())
            .prop_map(|(nodes, detail)| Operation::GetNodes { nodes, detail }),
        (node(), detail()).prop_map(|(node, detail)| Operation::GetNode { node, detail }),
        (node(), detail()).prop_map(|(node, detail)| Operation::GetChildNodes { node, detail }),
        (node(), detail()).prop_map(|(node, detail)| Operation::GetAncestors { node, detail }),
        (text, detail()).prop_map(|(source, detail)| Operation::GetRootNodes { source, detail }),
        (text, detail(), proptest::collection::vec(text, 0..3))
            .prop_map(|(source, detail, types)| Operation::GetAllNodes { source, detail, types }),
        (text, 1..u64::MAX, since, detail(), events()).prop_map(|(source, ttl, since, detail, events)| {
            Operation::Subscribe { source, ttl_s: Some(ttl), since, detail, events }
        }),
        (text, events()).prop_map(|(source, events)| Operation::Unsubscribe { source, events }),
        Just(Operation::Unsupported("moveNodeUp".to_owned())),
    ]
}

proptest! {
    #[test]
    fn every_request_is_read_as_it_was_written(
        dialect in proptest::sample::select(&Dialect::ALL[..]), lang in proptest::option::of("[a-z]{2}"), operation in any_operation(),
            tokens in "[a-z ]{0,8}", page in proptest::option::of((0..9_usize).prop_map(|max| Page { max: Some(max), after: None, before: None })),
    ) {
        let operation = match operation {
            Operation::Subscribe { source, since, detail, events, .. } if is_lost("concentrator.request.subscribe.ttl", dialect) => Operation::Subscribe { source, ttl_s: None, since, detail, events },
            Operation::AbortQuery { of, query, .. } if is_lost("concentrator.request.abort.command", dialect) => Operation::AbortQuery { of, command: String::new(), query },
            other => other,
        };
        let tokens = Tokens { service: "a b".to_owned(), device: String::new(), user: tokens };
        let request = Request { dialect, lang, tokens, page, operation };
        prop_assert_eq!(parse(&String::from(&request.to_element())), Ok(request));
    }
}

#[test]
fn the_wrong_number_of_anything_is_refused() {
    let many = "<nd id='a'/>".repeat(crate::model::limits::NAMES_PER_REQUEST_MAX + 1);
    let long = "x".repeat(crate::model::limits::NAME_BYTES_MAX + 1);
    for (body, condition) in [
        ("<getChildDataSources/>".to_owned(), Condition::BadRequest),
        ("<getNodeInheritance src='s'/>".to_owned(), Condition::BadRequest),
        ("<getCommandParameters id='a'/>".to_owned(), Condition::BadRequest),
        ("<getCommandParameters id='a' command=''/>".to_owned(), Condition::BadRequest),
        ("<executeNodeQuery id='a' command='c'/>".to_owned(), Condition::BadRequest),
        ("<abortNodeQuery id='a' queryId='q'/>".to_owned(), Condition::BadRequest),
        ("<setNodeParametersAfterEdit id='a'/>".to_owned(), Condition::BadRequest),
        ("<setNodeParametersAfterEdit id='a'><x xmlns='jabber:x:data' type='form'/></setNodeParametersAfterEdit>".to_owned(), Condition::BadRequest),
        (
            "<setNodeParametersAfterEdit id='a'><x xmlns='jabber:x:data' type='submit'/><x xmlns='jabber:x:data' type='submit'/></setNodeParametersAfterEdit>".to_owned(),
            Condition::BadRequest,
        ),
        ("<getCommonNodeCommands/>".to_owned(), Condition::BadRequest),
        (format!("<getCommonNodeCommands>{many}</getCommonNodeCommands>"), Condition::ResourceConstraint),
        (format!("<getNode id='{long}'/>"), Condition::BadRequest),
        (format!("<getNode id='a' src='{long}'/>"), Condition::BadRequest),
        (format!("<executeNodeCommand id='a' command='{long}'/>"), Condition::BadRequest),
        (format!("<getNode id='a' ut='{}'/>", "x".repeat(5000)), Condition::BadRequest),
    ] {
        let (name, rest) = body.split_at(body.find([' ', '/', '>']).unwrap());
        let whole = format!("{name} xmlns='urn:nf:iot:concentrator:1.0'{rest}");
        assert_eq!(parse(&whole).unwrap_err().condition, condition, "{whole}");
    }
}

#[test]
fn whoever_gets_changes_nothing() {
    let of = || Targets::One(NodeRef::new("a", "s"));
    let execute = |of| Operation::ExecuteCommand { of, command: "c".to_owned(), form: None };
    assert!(!execute(of()).may_be_got());
    assert!(execute(Targets::Common(vec![NodeRef::new("a", "s")])).may_be_got());
    assert!(Operation::GetCommands(of()).may_be_got());
}
