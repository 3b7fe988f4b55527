//! Commands about presence requests that wait for a decision, and about the decisions.

use jid::BareJid;

use super::super::Hub;
use super::{Outcome, choice, chosen, form};
use crate::model::{Timestamp, limits};
use crate::wire::StanzaFault;
use crate::wire::command::{Reason, Tone};
use crate::wire::form::{Choice, Form, FormField, FormKind};

const ALLOW: &str = "allow";
const DENY: &str = "deny";

impl Hub {
    pub(super) fn ask_about_requests(&self) -> Outcome {
        let plain = |value: String| Choice { label: String::new(), value };
        let waiting: Vec<Choice> =
            self.waiting().iter().take(limits::CHOICES_MAX).map(|who| plain(who.to_string())).collect();
        if waiting.is_empty() {
            return Outcome::note(Tone::Info, "Nobody waits for a decision.");
        }
        let verdicts = [(ALLOW, "Allow"), (DENY, "Deny")]
            .map(|(value, label)| Choice { label: label.to_owned(), value: value.to_owned() });
        let fields = vec![choice("jid", "Who", waiting), choice("decision", "Decision", verdicts.to_vec())];
        let mut asked = form(FormKind::Form, "Presence requests", fields);
        asked.instructions = vec![
            "Who is allowed sees that we are online, and finds our address. What it may see, read and control stays with the \
             [[allow]] rules of the configuration."
                .to_owned(),
        ];
        Outcome::ask(asked)
    }

    pub(super) fn decide_request(
        &mut self,
        admin: &BareJid,
        form: &Form,
        now: Timestamp,
    ) -> Result<Outcome, StanzaFault> {
        let is_allowed = match chosen(form, "decision")? {
            ALLOW => true,
            DENY => false,
            _ => return Err(Reason::BadPayload.to_fault()),
        };
        let wanted = chosen(form, "jid")?;
        let Some(who) = self.waiting().into_iter().find(|who| who.to_string() == wanted) else {
            return Ok(Outcome::note(Tone::Warn, format!("{wanted} does not wait any more.")));
        };
        if let Err(reason) = self.decide(&who, is_allowed, admin, now) {
            return Ok(Outcome::note(Tone::Error, reason));
        }
        Ok(match is_allowed {
            true => Outcome::note(
                Tone::Info,
                format!(
                    "{who} may see our presence. Access to devices stays with the [[allow]] rules of the configuration."
                ),
            ),
            false => Outcome::note(Tone::Info, format!("{who} is refused, now and whenever it asks again.")),
        })
    }

    pub(super) fn ask_about_decisions(&self) -> Outcome {
        let option = |(who, decision): (&BareJid, &super::super::decisions::Decision)| Choice {
            label: format!("{who}: {decision}"),
            value: who.to_string(),
        };
        let options: Vec<Choice> = self.decisions.iter().take(limits::CHOICES_MAX).map(option).collect();
        if options.is_empty() {
            return Outcome::note(Tone::Info, "Nothing was decided yet.");
        }
        let revoke = FormField {
            field_type: "list-multi".to_owned(),
            required: false,
            ..choice("revoke", "Decisions; choose those to revoke", options)
        };
        let mut asked = form(FormKind::Form, "Decisions", vec![revoke]);
        asked.instructions = vec![
            "Who was allowed and is revoked does not see our presence any more, unless a rule names it; who was denied may ask again."
                .to_owned(),
        ];
        Outcome::ask(asked)
    }

    pub(super) fn revoke_decisions(&mut self, form: &Form) -> Result<Outcome, StanzaFault> {
        let field = form.field("revoke").ok_or_else(|| Reason::BadPayload.to_fault())?;
        let revoked: Vec<String> = field
            .values
            .iter()
            .filter_map(|value| BareJid::new(value).ok())
            .filter(|who| self.revoke(who))
            .map(|who| who.to_string())
            .collect();
        Ok(match revoked.is_empty() {
            true => Outcome::note(Tone::Info, "Nothing was revoked."),
            false => Outcome::note(Tone::Info, format!("Revoked: {}.", revoked.join(", "))),
        })
    }
}
