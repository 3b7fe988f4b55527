//! A CSE in memory that answers as ACME 2026.5.3 does, as far as the plugin asks. Owns its resources and clock; a test makes it fail.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json, json};
use tombolo_sdk::Timestamp;
use tombolo_sdk::events::{HttpAnswer, HttpCall};

use crate::codec::time;

pub(super) const BASE: &str = "cse-in";

#[derive(Clone, Debug)]
pub(super) struct Resource {
    pub(super) ty: u64,
    pub(super) root: String,
    pub(super) attributes: Map<String, Json>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Cse {
    pub(super) resources: BTreeMap<String, Resource>,
    pub(super) now: Timestamp,
    next: u64,
    /// Addresses that nobody but their maker may use.
    pub(super) denied: BTreeSet<String>,
    pub(super) is_away: bool,
    /// Answers with this status and no code.
    pub(super) is_other_server: bool,
    /// Notifications are lost on their way.
    pub(super) is_silent: bool,
    /// Instances in one answer; more are too large an answer for the host.
    pub(super) most: usize,
    /// Subscriptions are not allowed.
    pub(super) has_no_subscriptions: bool,
    pub(super) outbox: Vec<(String, Json)>,
    /// Method, address and originator of everything that was asked.
    pub(super) asked: Vec<(String, String, String)>,
}

impl Cse {
    pub(super) fn new(now: Timestamp) -> Self {
        let root =
            Resource { ty: 5, root: "m2m:cb".into(), attributes: Map::from_iter([("ri".to_owned(), json!("id-in"))]) };
        Self {
            resources: BTreeMap::from([(BASE.to_owned(), root)]),
            now,
            next: 1,
            denied: BTreeSet::new(),
            is_away: false,
            is_other_server: false,
            is_silent: false,
            most: usize::MAX,
            has_no_subscriptions: false,
            outbox: Vec::new(),
            asked: Vec::new(),
        }
    }

    /// A resource that another AE makes.
    pub(super) fn put(&mut self, parent: &str, ty: u64, body: Json) -> String {
        let answer = self.create(format!("{BASE}/{parent}").trim_end_matches('/'), ty, &body, "Cdevice");
        assert_eq!(answer.0, 2001, "{answer:?}");
        let (_, attributes) = answer.1.as_object().unwrap().iter().next().unwrap();
        attributes["ri"].as_str().unwrap().to_owned()
    }

    /// A content instance that another AE makes.
    pub(super) fn say(&mut self, container: &str, con: impl Into<Json>) -> String {
        self.put(container, 4, json!({ "m2m:cin": { "con": con.into() } }))
    }

    pub(super) fn change(&mut self, address: &str, body: Json) {
        assert_eq!(self.update(&format!("{BASE}/{address}"), &body).0, 2004);
    }

    pub(super) fn remove(&mut self, address: &str) {
        self.delete(&format!("{BASE}/{address}"));
    }

    pub(super) fn has(&self, address: &str) -> bool {
        self.resources.contains_key(&format!("{BASE}/{address}"))
    }

    pub(super) fn get(&self, address: &str) -> &Map<String, Json> {
        &self.resources.get(&format!("{BASE}/{address}")).unwrap_or_else(|| panic!("no {address}")).attributes
    }

    /// Contents of a container, oldest first.
    pub(super) fn contents(&self, address: &str) -> Vec<String> {
        let ri = &self.get(address)["ri"];
        let mut found: Vec<&Resource> =
            self.resources.values().filter(|one| one.ty == 4 && one.attributes["pi"] == *ri).collect();
        found.sort_by_key(|one| one.attributes["st"].as_u64());
        found.iter().map(|one| one.attributes["con"].as_str().unwrap().to_owned()).collect()
    }

    /// None: there is nobody.
    pub(super) fn handle(&mut self, call: &HttpCall) -> Option<HttpAnswer> {
        if self.is_away {
            return None;
        }
        if self.is_other_server {
            return Some(HttpAnswer { status: 502, headers: Vec::new(), body: b"<html>bad gateway</html>".to_vec() });
        }
        let header = |name: &str| {
            let found = call
                .headers
                .iter()
                .find(|(known, _)| known == name)
                .map(|(_, value)| String::from_utf8(value.clone()).unwrap());
            found.unwrap_or_default()
        };
        assert!(!header("X-M2M-RI").is_empty() && !header("X-M2M-RVI").is_empty(), "{call:?}");
        let (path, query) = call.target.split_once('?').unwrap_or((&call.target, ""));
        let address = path.trim_start_matches('/').replacen('-', BASE, usize::from(path.starts_with("/-")));
        self.asked.push((call.method.clone(), address.clone(), header("X-M2M-Origin")));
        let body = if call.body.is_empty() { Json::Null } else { serde_json::from_slice(&call.body).unwrap() };
        let (rsc, body) = if self
            .denied
            .iter()
            .any(|denied| crate::codec::address::is_below(&address, &format!("{BASE}/{denied}")))
        {
            (4103, json!({"m2m:dbg": "no permission"}))
        } else {
            match call.method.as_str() {
                "POST" => {
                    let ty = header("Content-Type").rsplit_once("ty=").unwrap().1.parse().unwrap();
                    self.create(&address, ty, &body, &header("X-M2M-Origin"))
                }
                "GET" => self.retrieve(&address, query),
                "PUT" => self.update(&address, &body),
                "DELETE" => self.delete(&address),
                other => panic!("{other}"),
            }
        };
        let status = match rsc {
            2000..=2999 => 200,
            4004 => 404,
            4103 => 403,
            4105 => 409,
            _ => 400,
        };
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        Some(HttpAnswer { status, headers: vec![("X-M2M-RSC".into(), rsc.to_string().into_bytes())], body })
    }

    fn stamp(&self) -> String {
        format!("{},{:06}", time::write(self.now), self.now.rem_euclid(1_000_000))
    }

    fn create(&mut self, parent: &str, ty: u64, body: &Json, origin: &str) -> (u16, Json) {
        let (root, given) = body.as_object().unwrap().iter().next().unwrap();
        let mut attributes = given.as_object().unwrap().clone();
        let Some(above) = self.resources.get_mut(parent) else { return (4004, json!({"m2m:dbg": "no parent"})) };
        if ty == 23 && self.has_no_subscriptions {
            return (5203, json!({"m2m:dbg": "not subscribable"}));
        }
        self.next += 1;
        let ri = if ty == 2 { origin.to_owned() } else { format!("r{}", self.next) };
        let name = attributes.get("rn").and_then(Json::as_str).map_or_else(|| format!("n{}", self.next), str::to_owned);
        let address = format!("{parent}/{name}");
        let above_ri = above.attributes["ri"].clone();
        if matches!(ty, 4 | 30) {
            let tag = above.attributes.get("st").and_then(Json::as_u64).unwrap_or(0) + 1;
            above.attributes.insert("st".into(), tag.into());
            attributes.insert("st".into(), tag.into());
        }
        if self.resources.contains_key(&address) {
            return (4105, json!({"m2m:dbg": "exists"}));
        }
        if ty == 2 {
            attributes.insert("aei".into(), origin.into());
        }
        for (key, value) in [
            ("rn", json!(name)),
            ("ri", json!(ri)),
            ("pi", above_ri),
            ("ty", json!(ty)),
            ("ct", json!(self.stamp())),
            ("lt", json!(self.stamp())),
            ("et", json!("20990101T000000")),
        ] {
            attributes.entry(key).or_insert(value);
        }
        let made = json!({ root.as_str(): attributes.clone() });
        if ty == 23 {
            for url in attributes["nu"].as_array().unwrap() {
                self.outbox.push((
                    url.as_str().unwrap().to_owned(),
                    json!({"m2m:sgn": {"vrq": true, "sur": format!("/id-in/{ri}")}}),
                ));
            }
        }
        self.resources.insert(address, Resource { ty, root: root.clone(), attributes });
        if ty != 23 {
            self.notify(parent, 3, &made);
        }
        (2001, made)
    }

    /// Tells the subscriptions at a resource.
    fn notify(&mut self, address: &str, net: u64, rep: &Json) {
        let depth = address.matches('/').count() + 1;
        let below = self.resources.iter().filter(|(other, one)| {
            one.ty == 23 && other.matches('/').count() == depth && crate::codec::address::is_below(other, address)
        });
        let told: Vec<(String, Json)> = below
            .filter(|(_, one)| one.attributes["enc"]["net"].as_array().unwrap().contains(&json!(net)))
            .map(|(_, one)| {
                let sur = format!("/id-in/{}", one.attributes["ri"].as_str().unwrap());
                let url = one.attributes["nu"][0].as_str().unwrap().to_owned();
                (url, json!({"m2m:sgn": {"nev": {"net": net, "rep": rep}, "sur": sur}}))
            })
            .collect();
        if !self.is_silent {
            self.outbox.extend(told);
        }
    }

    fn retrieve(&self, address: &str, query: &str) -> (u16, Json) {
        let wants = |name: &str| -> Vec<&str> {
            query
                .split('&')
                .filter_map(|part| part.split_once('='))
                .filter(|(key, _)| *key == name)
                .map(|(_, value)| value)
                .collect()
        };
        if let Some(container) = address.strip_suffix("/la") {
            let Some(parent) = self.resources.get(container) else { return (4004, Json::Null) };
            let newest = self
                .resources
                .values()
                .filter(|one| matches!(one.ty, 4 | 30) && one.attributes["pi"] == parent.attributes["ri"])
                .max_by_key(|one| one.attributes["st"].as_u64());
            return newest.map_or((4004, json!({"m2m:dbg": "resource not found"})), |one| {
                (2000, json!({ one.root.as_str(): one.attributes }))
            });
        }
        let Some(found) = self.resources.get(address) else { return (4004, json!({"m2m:dbg": "not found"})) };
        let types: Vec<u64> = wants("ty").iter().map(|ty| ty.parse().unwrap()).collect();
        if !wants("fu").is_empty() {
            let labels: Vec<String> = wants("lbl").iter().map(|label| (*label).to_owned()).collect();
            let mut all: Vec<&String> = self
                .resources
                .iter()
                .filter(|(other, one)| {
                    let has_label = labels.is_empty()
                        || labels.iter().any(|label| {
                            one.attributes.get("lbl").is_some_and(|all| all.as_array().unwrap().contains(&json!(label)))
                        });
                    crate::codec::address::is_below(other, address)
                        && *other != address
                        && types.contains(&one.ty)
                        && has_label
                })
                .map(|(other, _)| other)
                .collect();
            let skip = wants("ofst").first().map_or(0, |offset| offset.parse::<usize>().unwrap());
            all.drain(..skip.min(all.len()));
            all.truncate(wants("lim").first().map_or(usize::MAX, |limit| limit.parse().unwrap()));
            return (2000, json!({ "m2m:uril": all }));
        }
        let mut attributes = found.attributes.clone();
        if wants("rcn") == ["4"] {
            let instant = |name: &str| wants(name).first().map(|text| time::read(text).unwrap());
            let (after, before) = (instant("cra"), instant("crb"));
            let children: Vec<&Resource> = self
                .resources
                .values()
                .filter(|one| {
                    let created =
                        time::read(one.attributes.get("ct").and_then(Json::as_str).unwrap_or_default()).unwrap_or(0);
                    one.attributes.get("pi") == found.attributes.get("ri")
                        && types.contains(&one.ty)
                        && after.is_none_or(|after| created > after)
                        && before.is_none_or(|before| created < before)
                })
                .collect();
            let mut children = children;
            children.sort_by_key(|one| one.attributes["st"].as_u64());
            let number = |name: &str| wants(name).first().map(|number| number.parse::<usize>().unwrap());
            children.drain(..number("ofst").unwrap_or(0).min(children.len()));
            children.truncate(number("lim").unwrap_or(usize::MAX));
            if let Some(first) = children.first() {
                attributes.insert(
                    first.root.clone(),
                    children.iter().map(|one| Json::Object(one.attributes.clone())).collect(),
                );
            }
        }
        (2000, json!({ found.root.as_str(): attributes }))
    }

    fn update(&mut self, address: &str, body: &Json) -> (u16, Json) {
        let stamp = self.stamp();
        let Some(found) = self.resources.get_mut(address) else { return (4004, json!({"m2m:dbg": "not found"})) };
        let (root, given) = body.as_object().unwrap().iter().next().unwrap();
        if *root != found.root {
            return (4000, json!({"m2m:dbg": "wrong type"}));
        }
        found.attributes.extend(given.as_object().unwrap().clone());
        found.attributes.insert("lt".into(), stamp.into());
        let now = json!({ root.as_str(): found.attributes.clone() });
        if found.ty != 23 {
            self.notify(address, 1, &now);
        }
        (2004, now)
    }

    fn delete(&mut self, address: &str) -> (u16, Json) {
        let Some(found) = self.resources.get(address) else { return (4004, json!({"m2m:dbg": "not found"})) };
        let last = json!({ found.root.as_str(): found.attributes.clone() });
        self.notify(address, 2, &last);
        self.resources.retain(|other, _| !crate::codec::address::is_below(other, address));
        (2002, Json::Null)
    }
}
