//! Who takes part, beyond an address: what a caller shows to prove what it may.

use serde::{Deserialize, Serialize};

/// What a caller passes along to be shown to whoever decides for the thing (XEP-0324): lists of tokens, parted by spaces, empty for none.
/// They prove nothing to us; a request that is passed on carries them unchanged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tokens {
    /// Of the service that asks.
    pub service: String,
    /// Of the device that asks.
    pub device: String,
    /// Of the user who asks.
    pub user: String,
}
