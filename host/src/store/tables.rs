//! What the tables are, what a transaction does to them, and how those of an older schema become these.
//!
//! Owns that custody is counted in the transaction that takes an item in or out, from what was there and not from what somebody believes: an
//! item that is taken out twice ends once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata, Table, TableDefinition};
use redb::{Value, WriteTransaction};
use tombolo_core::model::bridge::State;
use tombolo_core::model::custody::{self, Account, End, Route};
use tombolo_core::model::limits;

use super::batch::Batch;
use super::{Contents, Dead};

/// What the tables below come to.
pub(super) const SCHEMA: u64 = 2;

/// Route and content of what is to be sent.
const ITEMS: TableDefinition<'_, u64, (&str, &[u8])> = TableDefinition::new("custody");
const CHECKPOINTS: TableDefinition<'_, &str, (u32, &[u8])> = TableDefinition::new("checkpoints");
/// What the hub keeps for itself, by names of its own; with a route, if it is an item.
const RECORDS: TableDefinition<'_, &str, (&str, &[u8])> = TableDefinition::new("kept");
/// By route: taken, delivered, expired, refused, dead.
const ACCOUNTS: TableDefinition<'_, &str, (u64, u64, u64, u64, u64)> = TableDefinition::new("accounts");
/// What was set aside: route, reason, the record's name if it was one, when in milliseconds, and its content.
const DEAD: TableDefinition<'_, u64, (&str, &str, &str, u64, &[u8])> = TableDefinition::new("dead");
/// `schema`, `next_item`, `batch`, `next_dead`, `displaced`.
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// Schema 1's.
const OLD_ITEMS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("items");
const OLD_RECORDS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("records");

/// By route.
pub(super) type Accounts = BTreeMap<Route, Account>;

/// Copies everything that is durable.
pub(super) fn copy(from: &ReadTransaction, to: &WriteTransaction) -> Result<(), redb::Error> {
    copy_table(from, to, ITEMS)?;
    copy_table(from, to, CHECKPOINTS)?;
    copy_table(from, to, RECORDS)?;
    copy_table(from, to, ACCOUNTS)?;
    copy_table(from, to, DEAD)?;
    copy_table(from, to, META)
}

fn copy_table<K: redb::Key + 'static, V: Value + 'static>(
    from: &ReadTransaction,
    to: &WriteTransaction,
    table: TableDefinition<'static, K, V>,
) -> Result<(), redb::Error> {
    let mut copied = to.open_table(table)?;
    for entry in from.open_table(table)?.iter()? {
        let (key, value) = entry?;
        copied.insert(key.value(), value.value())?;
    }
    Ok(())
}

/// Writes a batch and counts it; gives the accounts that changed. None: it was written before, and nothing changes.
pub(super) fn write(database: &Database, batch: &Batch, accounts: &Accounts) -> Result<Option<Accounts>, redb::Error> {
    let transaction = database.begin_write()?;
    let mut books = Books::default();
    {
        let mut meta = transaction.open_table(META)?;
        if meta.get("batch")?.is_some_and(|last| last.value() == batch.number) {
            return Ok(None);
        }
        meta.insert("batch", batch.number)?;
        write_items(&transaction, batch, &mut books)?;
        write_records(&transaction, batch, &mut books)?;
        let mut checkpoints = transaction.open_table(CHECKPOINTS)?;
        for (bridge, state) in &batch.checkpoints {
            match state {
                Some(state) => checkpoints.insert(bridge.as_str(), (state.version, state.bytes.as_slice()))?,
                None => checkpoints.remove(bridge.as_str())?,
            };
        }
        let appended = batch.append.iter().map(|(item, _)| item.number);
        if let Some(last) = appended.chain(batch.awaited.iter().copied()).max() {
            let next = meta.get("next_item")?.map_or(0, |next| next.value());
            meta.insert("next_item", next.max(last.saturating_add(1)))?;
        }
        if !books.buried.is_empty() || !batch.unburied.is_empty() {
            bury(&transaction, &mut meta, &books.buried, &batch.unburied)?;
        }
        if !books.changed.is_empty() {
            books.add(accounts);
            let mut table = transaction.open_table(ACCOUNTS)?;
            for (route, account) in &books.changed {
                table.insert(route.as_str(), row(account))?;
            }
        }
    }
    transaction.commit()?;
    Ok(Some(books.changed))
}

fn write_items(transaction: &WriteTransaction, batch: &Batch, books: &mut Books) -> Result<(), redb::Error> {
    let mut items = transaction.open_table(ITEMS)?;
    let ends: BTreeMap<u64, &End> = batch.remove.iter().rev().map(|(item, end)| (*item, end)).collect();
    let mut passed = BTreeSet::new();
    for (item, bytes) in &batch.append {
        books.take(&item.route);
        match ends.get(&item.number) {
            // What came and went within one batch needs no disk.
            Some(end) => {
                passed.insert(item.number);
                books.end(item.route.as_str(), end, "", bytes);
            }
            None => _ = items.insert(item.number, (item.route.as_str(), &**bytes))?,
        }
    }
    for (item, end) in ends.into_iter().filter(|(item, _)| !passed.contains(item)) {
        if let Some(old) = items.remove(item)? {
            let (route, bytes) = old.value();
            books.end(route, end, "", bytes);
        }
    }
    Ok(())
}

fn write_records(transaction: &WriteTransaction, batch: &Batch, books: &mut Books) -> Result<(), redb::Error> {
    let mut records = transaction.open_table(RECORDS)?;
    let forgotten = End::dead("it was let go of without a reason");
    for (name, change) in &batch.records {
        let kept = records.get(name.as_str())?.and_then(|old| {
            let (route, _) = old.value();
            (!route.is_empty()).then(|| Route::parse(route))
        });
        if let (None, Some(begun)) = (&kept, &change.begun) {
            books.take(begun);
        }
        let route = kept.as_ref().or(change.begun.as_ref());
        match change.bytes.as_ref().filter(|_| !change.is_gone) {
            Some(bytes) => {
                records.insert(name.as_str(), (route.map_or("", Route::as_str), bytes.as_slice()))?;
            }
            None => {
                let old = records.remove(name.as_str())?;
                let bytes = change.bytes.as_deref().or(old.as_ref().map(|old| old.value().1)).unwrap_or_default();
                let end = change.end.as_ref().unwrap_or(&forgotten);
                route.iter().for_each(|route| books.end(route.as_str(), end, name, bytes));
            }
        }
    }
    Ok(())
}

/// What a transaction does to the accounts.
#[derive(Default)]
struct Books {
    changed: Accounts,
    buried: Vec<Dead>,
}

impl Books {
    /// Notes a difference; what waits is known only after [`Books::add`].
    fn note(&mut self, route: &str, change: impl FnOnce(&mut Account)) {
        if let Some(account) = self.changed.get_mut(route) {
            return change(account);
        }
        let mut account = Account::default();
        change(&mut account);
        self.changed.insert(Route::parse(route), account);
    }

    fn take(&mut self, route: &Route) {
        self.note(route.as_str(), |account| account.taken += 1);
    }

    fn end(&mut self, route: &str, end: &End, name: &str, bytes: &[u8]) {
        self.note(route, |account| account.end(end));
        if let End::Dead(reason) = end {
            self.buried.push(Dead {
                id: 0,
                route: route.to_owned(),
                reason: reason.clone().into_owned(),
                name: name.to_owned(),
                at_ms: 0,
                content: bytes.to_vec(),
            });
        }
    }

    /// From differences to what they come to.
    fn add(&mut self, accounts: &Accounts) {
        for (route, change) in &mut self.changed {
            let before = accounts.get(route).copied().unwrap_or_default();
            let ended = change.delivered + change.expired + change.refused + change.dead;
            *change = Account {
                taken: before.taken + change.taken,
                delivered: before.delivered + change.delivered,
                expired: before.expired + change.expired,
                refused: before.refused + change.refused,
                dead: before.dead + change.dead,
                waiting: (before.waiting + change.taken).saturating_sub(ended),
            };
        }
    }
}

fn row(account: &Account) -> (u64, u64, u64, u64, u64) {
    (account.taken, account.delivered, account.expired, account.refused, account.dead)
}

fn bury(
    transaction: &WriteTransaction,
    meta: &mut Table<'_, &str, u64>,
    buried: &[Dead],
    unburied: &[u64],
) -> Result<(), redb::Error> {
    let mut dead = transaction.open_table(DEAD)?;
    for id in unburied {
        dead.remove(id)?;
    }
    let mut next = meta.get("next_dead")?.map_or(1, |next| next.value());
    let at_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let at_ms = u64::try_from(at_ms).unwrap_or(u64::MAX);
    for one in buried {
        dead.insert(next, (one.route.as_str(), one.reason.as_str(), one.name.as_str(), at_ms, one.content.as_slice()))?;
        next += 1;
    }
    meta.insert("next_dead", next)?;
    let mut displaced = meta.get("displaced")?.map_or(0, |displaced| displaced.value());
    while dead.len()? > limits::DEAD_ITEMS_MAX {
        dead.pop_first()?;
        displaced += 1;
    }
    meta.insert("displaced", displaced)?;
    Ok(())
}

/// What was set aside; only this one, if one is named.
pub(super) fn dead(database: &Database, only: Option<u64>) -> Result<Vec<Dead>, redb::Error> {
    let transaction = database.begin_read()?;
    let table = transaction.open_table(DEAD)?;
    let range = only.map_or(0..=u64::MAX, |id| id..=id);
    let mut found = Vec::new();
    for entry in table.range(range)? {
        let (id, value) = entry?;
        let (route, reason, name, at_ms, content) = value.value();
        found.push(Dead {
            id: id.value(),
            route: route.to_owned(),
            reason: reason.to_owned(),
            name: name.to_owned(),
            at_ms,
            content: content.to_vec(),
        });
    }
    Ok(found)
}

/// Makes the tables; those of an older schema become these, and what they have begins its custody.
pub(super) fn prepare(database: &Database) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    let found = transaction.open_table(META)?.get("schema")?.map(|schema| schema.value());
    if found.is_none_or(|found| found <= SCHEMA) {
        transaction.open_table(CHECKPOINTS)?;
        transaction.open_table(ACCOUNTS)?;
        transaction.open_table(ITEMS)?;
        transaction.open_table(RECORDS)?;
        transaction.open_table(DEAD)?;
        transaction.open_table(META)?.insert("schema", SCHEMA)?;
    }
    if found == Some(1) {
        migrate(&transaction)?;
    }
    Ok(transaction.commit()?)
}

fn migrate(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    let before = Route::new("", custody::BEFORE);
    let mut taken = 0;
    {
        let mut items = transaction.open_table(ITEMS)?;
        for entry in transaction.open_table(OLD_ITEMS)?.iter()? {
            let (item, bytes) = entry?;
            items.insert(item.value(), (before.as_str(), bytes.value()))?;
            taken += 1;
        }
        let mut records = transaction.open_table(RECORDS)?;
        for entry in transaction.open_table(OLD_RECORDS)?.iter()? {
            let (name, bytes) = entry?;
            let is_item = custody::is_item(name.value());
            records.insert(name.value(), (if is_item { before.as_str() } else { "" }, bytes.value()))?;
            taken += u64::from(is_item);
        }
        if taken > 0 {
            transaction.open_table(ACCOUNTS)?.insert(before.as_str(), (taken, 0, 0, 0, 0))?;
        }
    }
    transaction.delete_table(OLD_ITEMS)?;
    transaction.delete_table(OLD_RECORDS)?;
    Ok(())
}

/// The schema, if it is not ours.
pub(super) fn newer_schema(database: &Database) -> Result<Option<u64>, redb::Error> {
    let meta = database.begin_read()?.open_table(META)?;
    Ok(meta.get("schema")?.map(|schema| schema.value()).filter(|found| *found > SCHEMA))
}

/// Everything, with what waits counted from the items themselves.
pub(super) fn read(database: &Database) -> Result<Contents, redb::Error> {
    let transaction = database.begin_read()?;
    let meta = transaction.open_table(META)?;
    let number = |name: &str| Ok::<_, redb::Error>(meta.get(name)?.map(|found| found.value()));
    let mut contents = Contents {
        next_item: number("next_item")?.unwrap_or(1),
        last_batch: number("batch")?.unwrap_or(0),
        ..Contents::default()
    };
    for entry in transaction.open_table(ACCOUNTS)?.iter()? {
        let (route, row) = entry?;
        let (taken, delivered, expired, refused, dead) = row.value();
        let account = Account { taken, delivered, expired, refused, dead, waiting: 0 };
        contents.accounts.insert(Route::parse(route.value()), account);
    }
    for entry in transaction.open_table(ITEMS)?.iter()? {
        let (item, value) = entry?;
        let (route, bytes) = value.value();
        let route = contents.waits(route);
        contents.items.push((custody::Item { number: item.value(), route }, bytes.into()));
    }
    for entry in transaction.open_table(CHECKPOINTS)?.iter()? {
        let (bridge, state) = entry?;
        let (version, bytes) = state.value();
        contents.checkpoints.insert(bridge.value().to_owned(), State { version, bytes: bytes.to_vec() });
    }
    for entry in transaction.open_table(RECORDS)?.iter()? {
        let (name, value) = entry?;
        let (route, bytes) = value.value();
        if !route.is_empty() {
            contents.waits(route);
        }
        contents.records.insert(name.value().to_owned(), bytes.to_vec());
    }
    Ok(contents)
}

impl Contents {
    /// One more of this route; gives the route that the account is kept under, so that there is one text for all.
    fn waits(&mut self, route: &str) -> Route {
        let route = match self.accounts.get_key_value(route) {
            Some((route, _)) => route.clone(),
            None => Route::parse(route),
        };
        self.accounts.entry(route.clone()).or_default().waiting += 1;
        route
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Makes a file look as if another version had written it.
    pub(crate) fn set_schema(database: &Database, schema: u64) {
        let transaction = database.begin_write().unwrap();
        transaction.open_table(META).unwrap().insert("schema", schema).unwrap();
        transaction.commit().unwrap();
    }

    /// What version 1 would have written.
    pub(crate) fn make_old(database: &Database, items: &[(u64, &[u8])], records: &[(&str, &[u8])]) {
        let transaction = database.begin_write().unwrap();
        {
            let mut table = transaction.open_table(OLD_ITEMS).unwrap();
            items.iter().for_each(|(item, bytes)| _ = table.insert(item, bytes).unwrap());
            let mut table = transaction.open_table(OLD_RECORDS).unwrap();
            records.iter().for_each(|(name, bytes)| _ = table.insert(name, bytes).unwrap());
            transaction.open_table(CHECKPOINTS).unwrap();
            let mut meta = transaction.open_table(META).unwrap();
            meta.insert("schema", 1).unwrap();
            meta.insert("next_item", 9).unwrap();
        }
        transaction.commit().unwrap();
    }

    /// Takes an item out behind the accounts' back.
    pub(crate) fn steal(database: &Database, item: u64) {
        let transaction = database.begin_write().unwrap();
        transaction.open_table(ITEMS).unwrap().remove(item).unwrap();
        transaction.commit().unwrap();
    }
}
