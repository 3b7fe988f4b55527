//! Who may see, read and control what: the operator's `[[allow]]` rules.
//!
//! Order of evaluation: the rules as written; the first whose `who` fits the caller's bare JID and whose `nodes` fits `bridge/node-id`
//! decides, also when it allows less than a later one would, so that an exception can stand before its rule. No rule fits: denied.

use std::sync::Arc;

use bitflags::bitflags;
use jid::BareJid;

use super::glob::Glob;
use super::permit::{ControlPermit, Denial, FieldScope, ReadPermit, SeePermit};
use crate::model::NodeRef;
use crate::work;

bitflags! {
    /// What a rule allows.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct May: u8 {
        /// List nodes.
        const SEE = 1;
        /// Read fields.
        const READ = 2;
        /// Set parameters.
        const CONTROL = 4;
    }
}

/// One `[[allow]]` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Patterns for bare JIDs, as in `*@example.org`.
    pub who: Vec<Glob>,
    /// What they may.
    pub may: May,
    /// Patterns for `bridge/node-id`.
    pub nodes: Vec<Glob>,
    /// Patterns for names of fields and parameters.
    pub fields: Arc<[Glob]>,
}

impl Rule {
    /// A rule of these patterns.
    pub fn new(who: &[&str], may: May, nodes: &[&str], fields: &[&str]) -> Self {
        let globs = |patterns: &[&str]| patterns.iter().map(|pattern| Glob::new(*pattern)).collect::<Vec<_>>();
        Self { who: globs(who), may, nodes: globs(nodes), fields: globs(fields).into() }
    }
}

/// All rules, and who looks after the service. Without any, nobody may anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    rules: Vec<Rule>,
    admins: Vec<Glob>,
}

impl Policy {
    /// These rules, in this order.
    pub fn new(rules: Vec<Rule>) -> Self {
        Self { rules, admins: Vec::new() }
    }

    /// The same, with patterns for the bare JIDs of those who look after the service. It gives them no access to any node.
    pub fn with_admins(self, admins: Vec<Glob>) -> Self {
        Self { admins, ..self }
    }

    /// Whether this JID looks after the service.
    pub fn is_admin(&self, caller: &BareJid) -> bool {
        self.admins.iter().any(|admin| admin.fits(caller.as_str()))
    }

    /// Other rules from now on. Permits given before are void: whoever keeps one asks again.
    pub fn replace(&mut self, rules: Vec<Rule>) {
        self.rules = rules;
    }

    /// The rules that name this caller, to ask about many nodes.
    pub fn of(&self, caller: &BareJid) -> Access<'_> {
        let rules = self.rules.iter().filter(|rule| rule.who.iter().any(|who| who.fits(caller.as_str())));
        Access { caller: caller.clone(), rules: rules.collect() }
    }

    /// Whether any rule gives this JID anything.
    pub fn knows(&self, caller: &BareJid) -> bool {
        self.of(caller).check().is_ok()
    }
}

/// What one caller may.
#[derive(Clone, Debug)]
pub struct Access<'a> {
    caller: BareJid,
    rules: Vec<&'a Rule>,
}

impl Access<'_> {
    /// Refuses a caller whom no rule gives anything.
    pub fn check(&self) -> Result<(), Denial> {
        match self.rules.iter().any(|rule| !rule.may.is_empty()) {
            true => Ok(()),
            false => Err(Denial::Stranger),
        }
    }

    /// Whether any rule gives the caller this, of whatever node.
    pub fn may_anywhere(&self, wanted: May) -> bool {
        self.rules.iter().any(|rule| rule.may.contains(wanted))
    }

    /// May the caller know that the node exists?
    pub fn see(&self, node: &NodeRef) -> Result<SeePermit, Denial> {
        self.decide(node, May::SEE).map(|_| SeePermit(()))
    }

    /// May the caller read the node?
    pub fn read(&self, node: &NodeRef) -> Result<ReadPermit, Denial> {
        let fields = self.decide(node, May::READ)?;
        Ok(ReadPermit { caller: self.caller.clone(), fields })
    }

    /// May the caller control the node?
    pub fn control(&self, node: &NodeRef) -> Result<ControlPermit, Denial> {
        let fields = self.decide(node, May::CONTROL)?;
        Ok(ControlPermit { caller: self.caller.clone(), fields })
    }

    /// Whether the caller may see every node that the bridge has or will have. False also where that cannot be told simply.
    pub fn sees_all_of(&self, bridge: &str) -> bool {
        self.all_of(bridge, |rule| rule.may.contains(May::SEE))
    }

    /// May the caller control the bridge as a whole: every node that it has or will have, with every parameter?
    pub fn controls_all_of(&self, bridge: &str) -> bool {
        let everything = |rule: &Rule| rule.fields.iter().any(|field| field.fits_all_of(""));
        self.all_of(bridge, |rule| rule.may.contains(May::SEE | May::CONTROL) && everything(rule))
    }

    /// The rules in their order: whatever could be an exception must be good enough itself, until one is about all.
    fn all_of(&self, bridge: &str, is_enough: impl Fn(&Rule) -> bool) -> bool {
        let beginning = format!("{bridge}/");
        for rule in &self.rules {
            let is_about_all = rule.nodes.iter().any(|glob| glob.fits_all_of(&beginning));
            if is_about_all || rule.nodes.iter().any(|glob| glob.may_fit_some_of(&beginning)) {
                match (is_enough(rule), is_about_all) {
                    (true, true) => return true,
                    (true, false) => {}
                    (false, _) => return false,
                }
            }
        }
        false
    }

    fn decide(&self, node: &NodeRef, wanted: May) -> Result<FieldScope, Denial> {
        work::step();
        self.check()?;
        let name = node.to_string();
        let rule = self.rules.iter().find(|rule| rule.nodes.iter().any(|glob| glob.fits(&name)));
        match rule {
            Some(rule) if rule.may.contains(wanted) => Ok(FieldScope(Arc::clone(&rule.fields))),
            Some(rule) if rule.may.contains(May::SEE) => Err(Denial::Forbidden),
            Some(_) | None => Err(Denial::Hidden),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jid(text: &str) -> BareJid {
        BareJid::new(text).unwrap()
    }

    fn lamp() -> NodeRef {
        NodeRef::new("kitchen/lamp", "home")
    }

    fn policy() -> Policy {
        Policy::new(vec![
            Rule::new(&["bob@example.org"], May::SEE, &["home/cellar/*"], &["*"]),
            Rule::new(
                &["alice@example.org", "*@ops.example.org"],
                May::SEE | May::READ | May::CONTROL,
                &["home/*"],
                &["*"],
            ),
            Rule::new(&["bob@example.org"], May::SEE | May::READ, &["home/*"], &["temp*"]),
            Rule::new(&["carol@example.org"], May::READ, &["home/*"], &["*"]),
            Rule::new(&["dave@example.org"], May::empty(), &["*"], &["*"]),
        ])
    }

    #[test]
    fn denies_by_default() {
        let none = Policy::default();
        assert!(!none.knows(&jid("alice@example.org")));
        assert_eq!(none.of(&jid("alice@example.org")).see(&lamp()), Err(Denial::Stranger));
    }

    #[test]
    fn the_first_rule_that_fits_caller_and_node_decides() {
        let policy = policy();
        let bob = policy.of(&jid("bob@example.org"));
        assert_eq!(bob.read(&NodeRef::new("cellar/pump", "home")).unwrap_err(), Denial::Forbidden);
        assert!(bob.see(&NodeRef::new("cellar/pump", "home")).is_ok());
        assert!(bob.read(&lamp()).is_ok());
    }

    #[test]
    fn patterns_cover_domains_and_nodes() {
        let policy = policy();
        assert!(policy.of(&jid("eve@ops.example.org")).control(&lamp()).is_ok());
        assert_eq!(policy.of(&jid("eve@xops.example.org")).control(&lamp()).unwrap_err(), Denial::Stranger);
        assert_eq!(
            policy.of(&jid("alice@example.org")).read(&NodeRef::new("lamp", "office")).unwrap_err(),
            Denial::Hidden
        );
    }

    #[test]
    fn permits_cover_only_the_fields_of_their_rule() {
        let permit = policy().of(&jid("bob@example.org")).read(&lamp()).unwrap();
        assert!(permit.covers("temperature"));
        assert!(!permit.covers("humidity"));
        assert_eq!(permit.caller(), &jid("bob@example.org"));
    }

    #[test]
    fn who_may_read_but_not_see_learns_nothing_else() {
        let policy = policy();
        let carol = policy.of(&jid("carol@example.org"));
        assert!(carol.read(&lamp()).is_ok());
        assert_eq!(carol.see(&lamp()), Err(Denial::Hidden));
        assert_eq!(carol.control(&lamp()).unwrap_err(), Denial::Hidden);
    }

    #[test]
    fn a_whole_bridge_is_controlled_only_without_exceptions() {
        let control = May::SEE | May::CONTROL;
        let whole = |rules: Vec<Rule>| Policy::new(rules).of(&jid("a@x")).controls_all_of("home");
        let rule = |may, node: &str, field: &str| Rule::new(&["a@x"], may, &[node], &[field]);
        assert!(whole(vec![rule(control, "home/*", "*")]));
        assert!(whole(vec![rule(May::SEE, "office/*", "*"), rule(control, "*", "*")]));
        assert!(whole(vec![rule(control, "home/lamp", "*"), rule(control, "*", "*")]));
        assert!(!whole(vec![rule(May::SEE, "home/lamp", "*"), rule(control, "*", "*")]));
        assert!(!whole(vec![rule(control, "home/*", "temp*")]));
        assert!(!whole(vec![rule(control, "home/kitchen/*", "*")]));
        assert!(!whole(vec![]));
        assert!(policy().of(&jid("bob@example.org")).sees_all_of("home"));
        assert!(!policy().of(&jid("bob@example.org")).sees_all_of("office"));
    }

    #[test]
    fn a_rule_that_allows_nothing_makes_nobody_known() {
        assert!(!policy().knows(&jid("dave@example.org")));
        assert!(policy().knows(&jid("carol@example.org")));
    }

    #[test]
    fn callers_are_compared_after_normalisation() {
        assert!(policy().knows(&jid("ALICE@Example.ORG")));
    }

    #[test]
    fn who_looks_after_the_service_has_no_access_by_that() {
        let policy = policy().with_admins(vec![Glob::new("root@example.org"), Glob::new("*@ops.example.org")]);
        assert!(policy.is_admin(&jid("root@example.org")) && policy.is_admin(&jid("x@ops.example.org")));
        assert!(!policy.is_admin(&jid("alice@example.org")) && !policy.knows(&jid("root@example.org")));
        assert!(policy.of(&jid("bob@example.org")).may_anywhere(May::READ));
        assert!(!policy.of(&jid("bob@example.org")).may_anywhere(May::CONTROL));
    }

    #[test]
    fn replaced_rules_count_at_once() {
        let mut policy = policy();
        policy.replace(Vec::new());
        assert!(!policy.knows(&jid("alice@example.org")));
    }
}
