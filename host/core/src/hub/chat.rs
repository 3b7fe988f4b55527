//! A person in a chat: sentences in, short plain answers out; the same policy and the same checks as everywhere else.
//!
//! Order of evaluation: what comes from ourselves or says nothing is ignored; who has no rule and is no admin is told once a day that there
//! is nothing for strangers, and learns nothing; who is too fast is told so once a minute; what is not understood is said a few times in a
//! row and then no more, so that two machines that talk to each other fall silent. Our answers carry a mark by which services like us know
//! them ([`crate::wire::stanza::chat`]).

mod follow;
mod grammar;
mod names;
mod talks;

use jid::{BareJid, Jid};

use super::addresses::Peer;
use super::commands::everything_now;
use super::controls::is_parameter;
use super::errands::{Errand, Granted, Wish};
use super::lookup::Readable;
use super::readouts::Filter;
use super::registry::{Entry, NodeKey};
use super::{Hub, phrases};
use crate::model::{Failure, Field, NodeReading, NodeState, Timestamp, Value, limits};
use crate::policy::{Access, ControlPermit};
use crate::wire::control::{Given, Parameter};
use crate::wire::stanza::{self, Chat};

pub(super) use follow::Follows;
use grammar::Saying;
use names::Found;
pub(super) use talks::Talks;
use talks::Turn;

const HELP: &str = "list [name] - devices\n\
                    read DEVICE [field] - values\n\
                    set DEVICE [parameter] VALUE - as in: set lamp on\n\
                    watch DEVICE [field] - tells you what changes; stop [DEVICE] ends it\n\
                    Names can be shortened as long as they are clear.";
const HELP_ADMIN: &str = "\nstatus - of the service";

/// Whom to answer, and about what.
#[derive(Clone, Debug)]
pub(super) struct Sentence {
    to: Peer,
    thread: Option<String>,
    /// What the answer is about, as people call it.
    about: String,
    /// What to say if all goes well.
    done: String,
}

impl Hub {
    /// Somebody says something.
    pub(super) fn chat(&mut self, from: &Peer, chat: &Chat, now: Timestamp) {
        let who = from.bare();
        let is_own = self.is_me(&from.jid) || self.config.me.as_ref().is_some_and(|me| me.to_bare() == who);
        if is_own || chat.body.trim().is_empty() {
            return;
        }
        let is_admin = self.config.policy.is_admin(&who);
        let sentence =
            Sentence { to: from.clone(), thread: chat.thread.clone(), about: String::new(), done: String::new() };
        if !is_admin && !self.config.policy.knows(&who) {
            if self.talks.meet_stranger(&who, now) {
                self.say(&sentence, "Hello. I am an automatic service and have nothing to offer to you.");
            }
            return;
        }
        let saying = grammar::parse(chat).filter(|saying| is_admin || *saying != Saying::Status);
        match self.talks.turn(&who, saying.is_some(), now) {
            Turn::Silent => {}
            Turn::TooFast => self.say(&sentence, "That is too much for me. Ask again in a minute."),
            Turn::Answer => match saying {
                Some(saying) => self.answer_person(sentence, &who, is_admin, saying, now),
                None if chat.is_encrypted => {
                    self.say(&sentence, "That came encrypted, which I cannot read. Please send it without.");
                }
                None => self.say(&sentence, "I did not understand that. Say help to see what I can do."),
            },
        }
    }

    fn answer_person(&mut self, sentence: Sentence, who: &BareJid, is_admin: bool, saying: Saying, now: Timestamp) {
        match saying {
            Saying::Help => self.say(&sentence, &format!("{HELP}{}", if is_admin { HELP_ADMIN } else { "" })),
            Saying::List(pattern) => {
                let text =
                    self.list_for_person(&self.config.policy.of(who), sentence.to.at.as_ref(), pattern.as_deref());
                self.say(&sentence, &text);
            }
            Saying::Read(words) => self.read_for_person(sentence, who, &words, now),
            Saying::Set(words) => self.set_for_person(sentence, who, &words, now),
            Saying::Watch(words) => self.follow(sentence, &words, now),
            Saying::Stop(words) => self.stop_following(&sentence, &words),
            Saying::Status => self.wish(Errand::Chat(sentence), Wish::Status, now),
        }
    }

    /// Sends an answer.
    fn say(&mut self, sentence: &Sentence, text: &str) {
        let id = self.stanza_id();
        let message = stanza::chat(Some(&sentence.to.jid), &id, text, sentence.thread.as_deref());
        self.send_from(sentence.to.at.as_ref(), message);
    }

    fn list_for_person(&self, access: &Access<'_>, at: Option<&Jid>, pattern: Option<&str>) -> String {
        let Ok(seat) = self.seat(at) else { return names::NO_DEVICE.to_owned() };
        let is_here = |key: NodeKey| seat.is_none_or(|seat| seat == key);
        let found = self
            .devices(access)
            .filter(|(key, entry)| is_here(*key) && pattern.is_none_or(|pattern| names::fits(entry, pattern)));
        let lines: Vec<String> = found.map(|(_, entry)| device_line(entry)).collect();
        match (lines.len(), pattern) {
            (0, Some(_)) => names::NO_DEVICE.to_owned(),
            (0, None) => "There is no device.".to_owned(),
            _ => cut(lines, "say list and the beginning of a name"),
        }
    }

    fn read_for_person(&mut self, sentence: Sentence, who: &BareJid, words: &[String], now: Timestamp) {
        match self.what_to_read(&self.config.policy.of(who), sentence.to.at.as_ref(), words) {
            Ok((node, filter)) => {
                let about = self.registry.get(node.key).map(|entry| line(entry.label())).unwrap_or_default();
                let to = sentence.to.clone();
                self.read_for(Errand::Chat(Sentence { about, ..sentence }), to, node, filter, now);
            }
            Err(text) => self.say(&sentence, &text),
        }
    }

    fn what_to_read(
        &self,
        access: &Access<'_>,
        at: Option<&Jid>,
        words: &[String],
    ) -> Result<(Readable, Filter), String> {
        let (key, rest) = self.device_at(access, at, words)?;
        let entry = self.registry.get(key).ok_or("The device is gone.")?;
        let permit = access.read(&entry.name).map_err(|_| format!("You may not read {}.", line(entry.label())))?;
        let readable = || entry.node.fields.iter().filter(|field| permit.covers(&field.name));
        let mut fields = Vec::new();
        for word in rest {
            match names::field(readable(), word) {
                Found::One(field) => fields.push(field.name.clone()),
                Found::Many(fields) => return Err(which(fields.into_iter().map(phrases::name))),
                Found::None => {
                    let all = readable().map(phrases::name);
                    return Err(format!("{} has no {}. {}", line(entry.label()), line(word), it_has(all)));
                }
            }
        }
        let filter = Filter { fields, ..everything_now() };
        Ok((Readable { key, shown: Some(entry.name.clone()), permit }, filter))
    }

    /// A readout has ended.
    pub(super) fn chat_read(&mut self, sentence: &Sentence, readings: &[NodeReading], now: Timestamp) {
        let values = readings.iter().flat_map(|reading| {
            let age = phrases::age(reading.at, self.stamp(now));
            let age = if age.ends_with(" s") { String::new() } else { format!(" ({age} ago)") };
            reading.fields.iter().map(move |field| {
                line(&format!("{}: {}{age}", field.name, phrases::value_text(&field.value, &field.unit)))
            })
        });
        let errors = readings.iter().flat_map(|reading| reading.errors.iter().map(|error| line(error)));
        let mut lines: Vec<String> = values.chain(errors).collect();
        if lines.is_empty() {
            lines.push("Nothing is known of it yet.".to_owned());
        }
        let text = cut(lines, "name the fields that you want");
        self.say(sentence, &format!("{}\n{text}", sentence.about));
    }

    fn set_for_person(&mut self, sentence: Sentence, who: &BareJid, words: &[String], now: Timestamp) {
        let (key, field, value) = match self.what_to_set(&self.config.policy.of(who), sentence.to.at.as_ref(), words) {
            Ok(found) => found,
            Err(text) => return self.say(&sentence, &text),
        };
        let Some(entry) = self.registry.get(key) else { return };
        let (node, about) = (entry.name.clone(), line(entry.label()));
        let done = line(&format!("{about}: {} {}", phrases::name(&field), phrases::value_text(&value, &field.unit)));
        let given = Given::Typed { value, value_type: field.value_type };
        let parameters = vec![Parameter { name: field.name.clone(), given }];
        let errand = Errand::Chat(Sentence { about, done, ..sentence.clone() });
        if let Err(refusal) = self.set_for(errand, sentence.to.clone(), &node, parameters, now) {
            self.say(&sentence, &phrases::refused(&refusal, Some(&field)));
        }
    }

    fn what_to_set(
        &self,
        access: &Access<'_>,
        at: Option<&Jid>,
        words: &[String],
    ) -> Result<(NodeKey, Field, Value), String> {
        let (key, rest) = self.device_at(access, at, words)?;
        let entry = self.registry.get(key).ok_or("The device is gone.")?;
        let label = line(entry.label());
        let permit = access.control(&entry.name).map_err(|_| format!("You may not control {label}."))?;
        let parameters = parameters(entry, &permit);
        if parameters.is_empty() {
            return Err(format!("Nothing of {label} can be set."));
        }
        if rest.is_empty() {
            let lines = parameters.iter().map(|field| format!("{}: {}", phrases::name(field), phrases::wanted(field)));
            return Err(format!("What shall I set of {label}?\n{}", cut(lines.collect(), "")));
        }
        let (field, value) = names::setting(&parameters, rest)?;
        Ok((key, field.clone(), value))
    }

    /// A control operation has ended.
    pub(super) fn chat_set(&mut self, sentence: &Sentence, failure: Option<Failure>) {
        match failure {
            None => self.say(sentence, &format!("Done. {}", sentence.done)),
            Some(failure) => self.say(sentence, &format!("{}: {}", sentence.about, line(&failure.message))),
        }
    }

    /// The app has answered.
    pub(super) fn chat_granted(&mut self, sentence: &Sentence, outcome: Result<Granted, Failure>) {
        let text = match outcome {
            Ok(Granted::Done(text)) => text,
            Err(failure) => failure.message,
            Ok(Granted::Status(service)) => {
                let uptime = Timestamp(0).plus_ms(service.uptime_s.saturating_mul(1000));
                let up = phrases::age(Timestamp(0), uptime);
                let mut lines =
                    vec![format!("tombolo {}, up {up}", service.version), format!("XMPP: {}", service.xmpp)];
                if service.outbox > 0 {
                    lines.push(format!("{} stanzas wait for the server", service.outbox));
                }
                lines.extend(service.bridges.iter().map(|bridge| line(&self.bridge_line(bridge))));
                lines.extend(self.waiting().iter().map(|who| format!("{who} waits for a decision")));
                cut(lines, "")
            }
        };
        self.say(sentence, &text);
    }
}

fn parameters<'a>(entry: &'a Entry, permit: &ControlPermit) -> Vec<&'a Field> {
    entry.node.fields.iter().filter(|field| is_parameter(field, permit)).collect()
}

fn device_line(entry: &Entry) -> String {
    let label = line(entry.label());
    match entry.node.state {
        NodeState::Online | NodeState::Unknown => label,
        state => format!("{label} ({})", super::commands::state_text(state)),
    }
}

/// Names come from devices: nothing in them ends a line.
fn line(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

/// As many lines as a person reads, and how to get at the rest.
fn cut(mut lines: Vec<String>, advice: &str) -> String {
    let more = lines.len().saturating_sub(limits::CHAT_LINES_MAX);
    lines.truncate(limits::CHAT_LINES_MAX);
    if more > 0 {
        let advice = if advice.is_empty() { String::new() } else { format!("; {advice}") };
        lines.push(format!("... and {more} more{advice}"));
    }
    lines.join("\n")
}

fn which<'a>(names: impl Iterator<Item = &'a str>) -> String {
    format!("Which one?\n{}", cut(names.map(line).collect(), "say more of the name"))
}

fn it_has<'a>(names: impl Iterator<Item = &'a str>) -> String {
    format!("It has:\n{}", cut(names.map(line).collect(), ""))
}
