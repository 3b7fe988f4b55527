//! Which resources there are: a discovery by the configured roots and labels, page by page, and a look at each address that is new. Owns
//! what becomes a node and what vanishes; never subscribes by itself.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tombolo_sdk::{Actions, Level, NodeNumber, Timestamp};

use super::{Purpose, Session};
use crate::codec::request::Primitive;
use crate::codec::resource::{self, Resource};
use crate::codec::response::{Answer, rsc};
use crate::codec::{address, ty};
use crate::mapping::Shape;
use crate::mirror::LABEL;

/// What a discovery found so far.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Found {
    addresses: BTreeSet<String>,
    /// A root could not be looked at: nothing is taken for gone.
    is_partial: bool,
}

const SHOWN: [u16; 4] = [ty::AE, ty::CONTAINER, ty::FLEX_CONTAINER, ty::TIME_SERIES];

impl Session {
    /// Begins anew, unless one is under way.
    pub(super) fn discover(&mut self) {
        if !self.state.calls.any(|purpose| matches!(purpose, Purpose::Discover { .. })) {
            self.state.found = Some(Found::default());
            self.ask_page(0, 0);
        }
    }

    fn ask_page(&mut self, root: usize, offset: u64) {
        let Some(address) = self.settings.root_addresses().into_iter().nth(root) else { return self.all_found() };
        let mut primitive = Primitive::retrieve(address).with("fu", 1);
        for ty in SHOWN {
            primitive = primitive.with("ty", ty);
        }
        for label in &self.settings.labels {
            primitive = primitive.with("lbl", label);
        }
        if let Some(size) = self.settings.page_size {
            primitive = primitive.with("lim", size);
        }
        if offset > 0 {
            primitive = primitive.with("ofst", offset);
        }
        self.ask(Purpose::Discover { root, offset }, primitive);
    }

    pub(super) fn discovered(&mut self, root: usize, offset: u64, answer: Answer, out: &mut Actions) {
        let Some(found) = &mut self.state.found else { return };
        let next = answer.next_offset;
        let listed = answer.done().map(|answer| resource::addresses(&answer.body).unwrap_or_default());
        let addresses = listed.unwrap_or_else(|failure| {
            let name = self.settings.root_addresses().into_iter().nth(root).unwrap_or_default();
            out.log(Level::Warn, format!("root {name:?}: {}", failure.message));
            found.is_partial = true;
            Vec::new()
        });
        let count = addresses.len() as u64;
        let before = found.addresses.len();
        found.addresses.extend(addresses);
        // A page that brings nothing new would bring it for ever.
        let has_news = found.addresses.len() > before;
        let is_full = self.settings.page_size.is_some_and(|size| count >= size);
        match next.or_else(|| is_full.then_some(offset + count)).filter(|next| has_news && *next > offset) {
            Some(next) => self.ask_page(root, next),
            None => self.ask_page(root + 1, 0),
        }
    }

    fn all_found(&mut self) {
        let Some(found) = self.state.found.take() else { return };
        let ids: BTreeSet<&str> = found.addresses.iter().map(|address| address::below_cse(address)).collect();
        let mut commands = BTreeSet::new();
        let mut room = self.settings.max_nodes.saturating_sub(self.state.nodes.len());
        let mut left_out = 0;
        for address in &found.addresses {
            let id = address::below_cse(address);
            if id.is_empty() || self.is_ours(id) || self.is_foreign(id) {
                continue;
            }
            let parent = address::parent(id).filter(|parent| ids.contains(parent));
            match parent.filter(|_| address::last(id) == self.settings.command_name) {
                // What it is for, its parent decides.
                Some(parent) => {
                    commands.insert(parent.to_owned());
                }
                None if self.state.nodes.by_id(id).is_some() || self.unseen.contains(address) => {}
                None if room == 0 => left_out += 1,
                None => {
                    room -= 1;
                    self.ask_once(Purpose::Inspect(address.clone()), || Primitive::retrieve(&**address))
                }
            }
        }
        self.left_out = left_out;
        if !found.is_partial {
            let vanished = self.state.nodes.iter().filter(|node| !ids.contains(node.id.as_str()));
            self.vanished = vanished.map(|node| node.number).collect();
        }
        self.state.commands = commands;
        for number in self.state.nodes.numbers() {
            self.find_command(number);
        }
    }

    /// A container below it that has the name of commands takes its controls.
    fn find_command(&mut self, number: NodeNumber) {
        let Some(node) = self.state.nodes.get_mut(number).filter(|node| self.state.commands.contains(&node.id)) else {
            return;
        };
        let command = address::child(&node.address, &self.settings.command_name);
        if matches!(node.shape, Shape::Ae { .. }) {
            if self.state.nodes.by_id(address::below_cse(&command)).is_none() {
                self.ask_once(Purpose::Inspect(command.clone()), || Primitive::retrieve(command));
            }
        } else if node.has_instances() && node.set_command(&command) {
            self.state.nodes.touch(number);
        }
    }

    /// What is not there any more.
    pub(super) fn sweep(&mut self, out: &mut Actions) {
        for number in std::mem::take(&mut self.vanished) {
            self.remove(number, out);
        }
        let was_full = std::mem::replace(&mut self.is_full, self.left_out > 0);
        if self.is_full && !was_full {
            let (count, most) = (self.left_out, self.settings.max_nodes);
            out.log(Level::Warn, format!("{count} resources are left out: max_nodes is {most}"));
        }
    }

    pub(super) fn remove(&mut self, number: NodeNumber, out: &mut Actions) {
        self.state.nodes.remove(number, out);
        self.is_dirty = true;
    }

    pub(super) fn inspected(&mut self, address: &str, answer: Answer, now: Timestamp, out: &mut Actions) {
        if answer.rsc == rsc::NOT_FOUND {
            let known = self.state.nodes.by_id(address::below_cse(address));
            return known.into_iter().for_each(|number| self.remove(number, out));
        }
        let answer = match answer.done() {
            Ok(answer) => answer,
            Err(failure) => {
                self.unseen.insert(address.to_owned());
                return out.log(Level::Debug, format!("{address}: {}", failure.message));
            }
        };
        let Some(resource) = Resource::read(&answer.body) else { return };
        let id = address::below_cse(address);
        if resource.ty() == Some(ty::AE) && resource.texts("lbl").iter().any(|label| label == LABEL) {
            return self.leave_out(id, out);
        }
        if self.is_foreign(id) {
            return;
        }
        if let Some(number) = self.state.nodes.put(address, &resource, &self.settings) {
            self.shown(number, &resource, now, out);
        }
    }

    /// An AE of another tombolo: what stands there has another home.
    fn leave_out(&mut self, id: &str, out: &mut Actions) {
        self.state.foreign.insert(id.to_owned());
        let below = self.state.nodes.iter().filter(|node| address::is_below(&node.id, id)).map(|node| node.number);
        for number in below.collect::<Vec<_>>() {
            self.remove(number, out);
        }
    }

    fn is_foreign(&self, id: &str) -> bool {
        self.state.foreign.iter().any(|foreign| address::is_below(id, foreign))
    }

    fn shown(&mut self, number: NodeNumber, resource: &Resource, now: Timestamp, out: &mut Actions) {
        self.find_command(number);
        if self.state.nodes.get(number).is_some_and(|node| matches!(node.shape, Shape::Flex { .. })) {
            self.take_flex(number, resource, None, now, out);
        }
        let is_new = self.state.nodes.get_mut(number).is_some_and(|node| !std::mem::replace(&mut node.is_known, true));
        if is_new {
            self.look_after(number);
        }
    }
}
