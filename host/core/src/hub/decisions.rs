//! What admins decided about presence requests. Owns the decisions and their form in the durable state; a decision lasts until it is revoked.
//!
//! An allowed JID's presence subscription is approved, now and later; a denied one's is refused. Rules come first: whom a rule names is
//! welcome whatever was decided. Access to nodes is no decision: only rules give it.

use std::collections::BTreeMap;
use std::fmt;

use jid::BareJid;

use super::Hub;
use super::friends::Contact;
use crate::model::{Timestamp, limits};

/// Names of decisions in the durable state begin so.
const KEPT_AS: &str = "decision/";

/// What somebody decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decision {
    is_allowed: bool,
    by: BareJid,
    at: Timestamp,
}

/// All decisions.
#[derive(Debug, Default)]
pub(super) struct Decisions(BTreeMap<BareJid, Decision>);

impl fmt::Display for Decision {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.is_allowed { "allowed" } else { "denied" };
        write!(out, "{verdict} by {} at {}", self.by, self.at)
    }
}

impl Decision {
    fn write(&self) -> Vec<u8> {
        let verdict = if self.is_allowed { "allow" } else { "deny" };
        format!("{verdict} {} {}", self.at.0, self.by).into_bytes()
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let mut parts = str::from_utf8(bytes).ok()?.splitn(3, ' ');
        let is_allowed = parts.next()? == "allow";
        let at = Timestamp(parts.next()?.parse().ok()?);
        Some(Self { is_allowed, at, by: BareJid::new(parts.next()?).ok()? })
    }
}

fn kept_as(who: &BareJid) -> String {
    format!("{KEPT_AS}{who}")
}

impl Decisions {
    /// What was kept over a restart; what cannot be read is left out.
    pub(super) fn restore(kept: &BTreeMap<String, Vec<u8>>) -> Self {
        let decisions = kept.iter().filter_map(|(name, bytes)| {
            Some((BareJid::new(name.strip_prefix(KEPT_AS)?).ok()?, Decision::read(bytes)?))
        });
        Self(decisions.take(limits::DECISIONS_MAX).collect())
    }

    /// Whether somebody is allowed or denied; none: nobody decided.
    pub(super) fn of(&self, who: &BareJid) -> Option<bool> {
        self.0.get(who).map(|decision| decision.is_allowed)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&BareJid, &Decision)> {
        self.0.iter()
    }
}

impl Hub {
    /// An admin decides about a request that waits.
    pub(super) fn decide(
        &mut self,
        contact: &Contact,
        is_allowed: bool,
        admin: &BareJid,
        now: Timestamp,
    ) -> Result<(), String> {
        let who = &contact.jid;
        if self.decisions.0.len() >= limits::DECISIONS_MAX && !self.decisions.0.contains_key(who) {
            return Err("Too many decisions are in force; revoke some.".to_owned());
        }
        let decision = Decision { is_allowed, by: admin.clone(), at: self.stamp(now) };
        self.keep(kept_as(who), Some(decision.write()));
        self.decisions.0.insert(who.clone(), decision);
        match is_allowed {
            true => self.approve(contact),
            false => self.decline(contact),
        }
        Ok(())
    }

    /// A decision counts no more. Whether there was one.
    pub(super) fn revoke(&mut self, who: &BareJid) -> bool {
        let Some(decision) = self.decisions.0.remove(who) else { return false };
        self.keep(kept_as(who), None);
        if decision.is_allowed && !self.is_welcome(who) {
            let mut contacts = self.friends.contacts_of(who);
            if contacts.is_empty() && self.config.component.is_none() {
                contacts.push(Contact { jid: who.clone(), at: None });
            }
            contacts.iter().for_each(|contact| self.decline(contact));
        }
        true
    }

    /// Whether a presence subscription needs no decision.
    pub(super) fn is_welcome(&self, who: &BareJid) -> bool {
        let policy = &self.config.policy;
        policy.knows(who) || policy.is_admin(who) || self.http.names(who) || self.queues.names(who)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_is_read_as_it_was_kept() {
        let by = BareJid::new("alice@example.org").unwrap();
        for is_allowed in [true, false] {
            let decision = Decision { is_allowed, by: by.clone(), at: Timestamp(1_700_000_000_000_000) };
            assert_eq!(Decision::read(&decision.write()), Some(decision));
        }
        let kept = [("decision/eve@evil.example", "deny 1 alice@example.org"), ("decision/@", ""), ("other/x@y", "")];
        let kept = kept.map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()));
        let restored = Decisions::restore(&BTreeMap::from(kept));
        assert_eq!(restored.of(&BareJid::new("eve@evil.example").unwrap()), Some(false));
        assert_eq!(restored.iter().count(), 1);
    }
}
