//! The yes and the no of policy, as values. A permit names who, which node and which fields; only policy makes one.

use std::sync::Arc;

use jid::BareJid;

use super::glob::Glob;

/// Which fields a rule speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FieldScope(pub(super) Arc<[Glob]>);

impl FieldScope {
    fn covers(&self, field: &str) -> bool {
        self.0.iter().any(|glob| glob.fits(field))
    }
}

/// Why not. What a caller may learn of it differs, hence three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// No rule gives the caller anything: everything is forbidden, whether it exists or not.
    #[error("no rule names the caller")]
    Stranger,
    /// The caller may not know that the node exists: it looks like one that does not.
    #[error("the caller may not see the node")]
    Hidden,
    /// The caller may see the node, but not do this.
    #[error("the caller may see the node, but not do this")]
    Forbidden,
}

/// The caller may list the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeePermit(pub(super) ());

/// The caller may read these fields of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadPermit {
    pub(super) caller: BareJid,
    pub(super) fields: FieldScope,
}

impl ReadPermit {
    /// Who holds it.
    pub fn caller(&self) -> &BareJid {
        &self.caller
    }

    /// Whether it covers the field.
    pub fn covers(&self, field: &str) -> bool {
        self.fields.covers(field)
    }
}

/// The caller may set these parameters of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlPermit {
    pub(super) caller: BareJid,
    pub(super) fields: FieldScope,
}

impl ControlPermit {
    /// Who holds it.
    pub fn caller(&self) -> &BareJid {
        &self.caller
    }

    /// Whether it covers the parameter.
    pub fn covers(&self, parameter: &str) -> bool {
        self.fields.covers(parameter)
    }
}
