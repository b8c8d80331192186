//! `hf("owner/name")`: a model of the hub, or of the folder given by `--models`.

use crate::types::Op;

/// The constructor of a backbone by hub name.
pub(crate) fn op() -> Op {
    Op::constructor(
        "hf",
        "Backbone",
        "A model by its name on the Hugging Face hub: read from the hub's cache on this machine, downloaded, or \
         taken from the folder of that name under `--models`. The revision is pinned in the lock file on first use. \
         A private or gated model needs the variable `HF_TOKEN`, or what `hf auth login` leaves.",
    )
    .needs("name", "String", "`owner/name`, or the name of a folder under `--models`.")
    .optional("revision", "String", "Branch, tag or commit; the default branch when it is not given.")
}
