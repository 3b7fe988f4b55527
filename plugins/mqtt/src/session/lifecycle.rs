//! The rare half of a session: accepted, refused, lost, alive, stopped; publishing and subscribing.

use tombolo_sdk::Level;

use super::{
    Connack, FALLBACK_MS, Message, Output, Phase, Qos, RECONNECT_MS, Refused, STABLE_MS, SUBSCRIBE_MS, Session, Timer,
    Undelivered, Version, codec, reason,
};

/// After so many failed attempts the version that was accepted once is doubted.
const DOUBT_ATTEMPTS: u32 = 5;

impl Session {
    pub(super) fn handle_connack(&mut self, connack: &Connack) -> Result<(), Refused> {
        if self.is_online() {
            return Err(Refused { reason: reason::PROTOCOL_ERROR, what: "a second CONNACK" });
        }
        if connack.reason == 0 {
            self.accepted(connack)
        } else {
            self.refused(connack)
        }
        Ok(())
    }

    fn accepted(&mut self, connack: &Connack) {
        let resumed = connack.session_present && !self.options.clean_start;
        let keep_alive_s = connack.server_keep_alive_s.unwrap_or(self.options.keep_alive_s);
        self.state.settled = true;
        self.state.limits = connack.limits;
        if let Some(client_id) = &connack.assigned_client_id {
            self.state.client_id.clone_from(client_id);
        }
        if let Some(link) = &mut self.state.link {
            link.phase = Phase::Online;
            link.keep_alive_s = keep_alive_s;
            link.sent = true;
        }
        let protocol = if self.state.version == Version::V5 { "5" } else { "3.1.1" };
        self.log(
            Level::Info,
            format!("connected with MQTT {protocol}, session {}", if resumed { "resumed" } else { "new" }),
        );
        self.outputs.push(Output::CancelTimer(Timer::Connect));
        self.outputs.push(Output::SetTimer(Timer::Stable, STABLE_MS));
        self.set_keep_alive();
        self.outputs.push(Output::Online);
        self.go_on(resumed);
    }

    /// What the old connection left is repeated or given up; then what this one begins with.
    fn go_on(&mut self, resumed: bool) {
        if resumed {
            self.state.filters.resume();
            let again = self.state.outbound.repeat(self.state.version);
            self.send(again);
        } else {
            self.state.inbound.forget();
            self.state.filters.forget();
            for token in self.state.outbound.give_up() {
                self.outputs.push(Output::Delivered { token, outcome: Err(Undelivered::SessionLost) });
            }
        }
        if let Some(online) = self.options.online.clone() {
            self.send_unwatched(online);
        }
        self.send_filters();
    }

    fn refused(&mut self, connack: &Connack) {
        let text = codec::reason_text(connack.reason);
        let is_about_version = connack.reason == reason::UNSUPPORTED_VERSION;
        let is_confused = matches!(connack.reason, reason::MALFORMED | reason::PROTOCOL_ERROR) && !self.state.settled;
        if self.options.version.is_none() && (is_about_version || is_confused) {
            return self.change_version(&text);
        }
        let why = connack.explanation.as_ref().map_or_else(String::new, |why| format!(": {why}"));
        let hint = match connack.reason {
            reason::BAD_CREDENTIALS | reason::NOT_AUTHORIZED => {
                "; look at username and password in the bridge's settings"
            }
            reason::UNSUPPORTED_VERSION => "; look at version in the bridge's settings",
            _ => "",
        };
        self.drop_link(Level::Error, &format!("the broker refused the connection: {text}{why}{hint}"), None);
    }

    /// A close before CONNACK says nothing certain; it counts only while no version was accepted yet.
    pub(super) fn may_change_version(&self) -> bool {
        self.options.version.is_none() && (!self.state.settled || self.state.attempts >= DOUBT_ATTEMPTS)
    }

    pub(super) fn change_version(&mut self, why: &str) {
        let (from, to, name) = match self.state.version {
            Version::V5 => ("5", Version::V3, "3.1.1"),
            Version::V3 => ("3.1.1", Version::V5, "5"),
        };
        self.log(Level::Info, format!("MQTT {from} was not accepted ({why}); trying {name}"));
        self.state.version = to;
        self.state.settled = false;
        self.hang_up();
        self.lose();
        // Both were tried once: from now on with growing delay.
        if to == Version::V3 && self.state.attempts == 0 {
            self.state.attempts = 1;
            self.outputs.push(Output::SetTimer(Timer::Reconnect, FALLBACK_MS));
        } else {
            self.schedule();
        }
    }

    /// Ends the connection from this side. `reason` is told to a broker of MQTT 5.
    pub(super) fn drop_link(&mut self, level: Level, why: &str, reason: Option<u8>) {
        self.log(level, why.to_owned());
        if let Some(reason) = reason.filter(|_| self.is_online() && self.state.version == Version::V5) {
            self.send(codec::disconnect(reason, Version::V5));
        }
        self.hang_up();
        self.lose();
        self.schedule();
    }

    fn hang_up(&mut self) {
        if let Some(link) = &self.state.link {
            self.outputs.push(Output::Close(link.connection));
        }
    }

    /// The connection is gone, whoever ended it.
    pub(super) fn lose(&mut self) {
        let Some(link) = self.state.link.take() else { return };
        self.state.inbound.detach();
        for token in self.state.outbound.detach() {
            self.outputs.push(Output::Delivered { token, outcome: Err(Undelivered::Offline) });
        }
        for timer in [Timer::KeepAlive, Timer::Connect, Timer::Stable] {
            self.outputs.push(Output::CancelTimer(timer));
        }
        if link.phase == Phase::Online {
            self.outputs.push(Output::Offline);
        }
    }

    /// The connection that the state speaks of does not exist any more.
    pub(crate) fn reconnect(&mut self) {
        self.lose();
        self.schedule();
    }

    /// Doubles from a second to the set maximum; the half of it is chance, so that many bridges do not come back at once.
    pub(super) fn schedule(&mut self) {
        let exponent = self.state.attempts.min(16);
        let full = RECONNECT_MS.saturating_mul(1 << exponent).min(self.options.reconnect_ms_max.max(RECONNECT_MS));
        let half = full / 2;
        let jitter = u32::try_from(self.state.random() % u64::from(half.max(1))).unwrap_or(0);
        self.state.attempts = self.state.attempts.saturating_add(1);
        self.log(Level::Debug, format!("next attempt in {} ms", half + jitter));
        self.outputs.push(Output::SetTimer(Timer::Reconnect, half + jitter));
    }

    /// Twice and a bit within the keep-alive, so that between two packets of ours never more than it passes.
    fn set_keep_alive(&mut self) {
        let keep_alive_s = self.state.link.as_ref().map_or(0, |link| link.keep_alive_s);
        if keep_alive_s > 0 {
            self.outputs.push(Output::SetTimer(Timer::KeepAlive, u32::from(keep_alive_s) * 450));
        }
    }

    pub(super) fn tick(&mut self) {
        let Some(link) = self.state.link.as_mut().filter(|link| link.phase == Phase::Online) else { return };
        if link.awaiting_pong && !link.received {
            return self.drop_link(Level::Warn, "the broker is silent", Some(reason::KEEP_ALIVE_TIMEOUT));
        }
        let is_quiet = !link.sent || !link.received;
        (link.sent, link.received, link.awaiting_pong) = (false, false, is_quiet);
        if is_quiet {
            self.send(codec::PINGREQ.to_vec());
        }
        self.set_keep_alive();
    }

    /// Publishes; [`Output::Delivered`] with this token tells the end. Fails at once while there is no connection.
    pub(crate) fn publish(&mut self, token: u64, message: Message) {
        let outcome = if self.is_online() { self.try_publish(token, message) } else { Err(Undelivered::Offline) };
        match outcome {
            Ok(false) => {}
            Ok(true) => self.outputs.push(Output::Delivered { token, outcome: Ok(()) }),
            Err(error) => self.outputs.push(Output::Delivered { token, outcome: Err(error) }),
        }
    }

    /// Gives whether it is done already.
    fn try_publish(&mut self, token: u64, mut message: Message) -> Result<bool, Undelivered> {
        let limits = self.state.limits;
        message.qos = message.qos.min(limits.qos_max);
        message.retain &= limits.retain;
        let id = if message.qos == Qos::AtMostOnce { 0 } else { self.packet_id() };
        let bytes = codec::write_publish(&message, id, false, self.state.version)
            .map_err(|error| Undelivered::Unwritable(format!("{error:?}")))?;
        if u32::try_from(bytes.len()).unwrap_or(u32::MAX) > limits.packet_bytes_max {
            return Err(Undelivered::TooLarge);
        }
        if id == 0 {
            self.send(bytes);
            return Ok(true);
        }
        if self.state.outbound.begin(token, id, message, limits.receive_maximum)? {
            self.send(bytes);
        }
        Ok(false)
    }

    fn send_unwatched(&mut self, message: Message) {
        // A token that nobody knows: its outcome is dropped.
        self.publish(u64::MAX, message);
    }

    /// A publish that nobody waits for any more, if it has not left yet.
    pub(crate) fn cancel(&mut self, token: u64) {
        self.state.outbound.cancel(token);
    }

    pub(super) fn send_waiting(&mut self) {
        while let Some((token, message)) = self.state.outbound.next_waiting(self.state.limits.receive_maximum) {
            self.publish(token, message);
        }
    }

    /// Wants messages of a filter, and their retained ones even if it was subscribed before.
    pub(crate) fn subscribe(&mut self, filter: &str, qos: Qos) {
        self.state.filters.want(filter, qos);
        self.set_subscribe_timer();
    }

    /// Wants them no longer.
    pub(crate) fn unsubscribe(&mut self, filter: &str) {
        self.state.filters.drop(filter);
        self.set_subscribe_timer();
    }

    fn set_subscribe_timer(&mut self) {
        if self.is_online() && self.state.filters.is_due() && !self.state.filters.timer_set {
            self.state.filters.timer_set = true;
            self.outputs.push(Output::SetTimer(Timer::Subscribe, SUBSCRIBE_MS));
        }
    }

    /// Sends what became wanted or not, without waiting for more of it.
    pub(crate) fn send_filters(&mut self) {
        while self.is_online() && self.state.filters.is_due() {
            let id = self.packet_id();
            match self.state.filters.write_next(id, self.state.version) {
                Ok(bytes) => self.send(bytes),
                Err(error) => self.log(Level::Warn, format!("filters that SUBSCRIBE cannot carry: {error:?}")),
            }
        }
    }

    fn packet_id(&mut self) -> u16 {
        loop {
            self.state.next_packet_id = self.state.next_packet_id.checked_add(1).unwrap_or(1);
            let id = self.state.next_packet_id;
            // Far fewer than 65535 are ever in use.
            if !self.state.outbound.uses(id) && !self.state.filters.uses(id) {
                return id;
            }
        }
    }

    /// Last words.
    pub(crate) fn stop(&mut self) {
        if self.is_online() {
            let reason = if self.options.will.is_some() { reason::DISCONNECT_WITH_WILL } else { 0 };
            if let Some(will) = self.options.will.clone().filter(|_| self.state.version == Version::V3) {
                self.send_unwatched(will);
            }
            self.send(codec::disconnect(reason, self.state.version));
        }
        self.hang_up();
        self.lose();
        self.outputs.push(Output::CancelTimer(Timer::Reconnect));
    }

    pub(super) fn log(&mut self, level: Level, text: String) {
        self.outputs.push(Output::Log(level, text));
    }

    /// The bytes of the last output, if it is one for this connection: what follows joins them.
    pub(super) fn take_send(&mut self) -> Vec<u8> {
        let connection = self.connection();
        match self.outputs.pop() {
            Some(Output::Send(to, bytes)) if Some(to) == connection => bytes,
            other => {
                self.outputs.extend(other);
                Vec::new()
            }
        }
    }

    pub(super) fn send(&mut self, bytes: Vec<u8>) {
        let Some(link) = self.state.link.as_mut().filter(|_| !bytes.is_empty()) else { return };
        link.sent = true;
        self.outputs.push(Output::Send(link.connection, bytes));
    }
}
