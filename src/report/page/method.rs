//! How each number was made, so that somebody else makes it again.

use crate::report::page::Page;
use maud::Markup;
use maud::html;

impl Page<'_> {
    pub(super) fn method() -> Markup {
        html! {
            dl .method {
                @for (name, words) in METHOD { dt { (name) } dd { (words) } }
                dt { "This file" }
                dd {
                    "Everybody who can read the records gets the same bytes, whatever their role, host and clock. With the signature that "
                    code { "report --sign" } " wrote beside the file: "
                    code .break { "ssh-keygen -Y verify -f allowed_signers -I CLIENT -n sbf-repo-evidence -s FILE.sig < FILE" }
                    "; " code { "allowed_signers" } " is in what " code { "sbf-repo evidence export" } " writes."
                }
            }
        }
    }
}

const METHOD: &[(&str, &str)] = &[
    (
        "Where it comes from",
        "Records in the repository that were signed when they were made: plans, manifests of snapshots, certificates of deletion, states, checks, drills, \
         incidents, erasures, and the audit log. Neither a configuration file nor the clock of whoever made this page has a word in it.",
    ),
    (
        "Period",
        "The days of the period in the time zone of the plan that stood last in it; UTC if no plan stood. If no record is as new as its end, it is told \
         until the time of the newest record.",
    ),
    (
        "Expected runs",
        "The moments that the schedules of signed plans name, each plan from its time until the next one of the same client and host. Jobs that a trigger \
         or a person starts expect nothing.",
    ),
    (
        "Success rate",
        "Runs that succeeded, divided by runs that were expected; rounded down, so that 100 % means all. A run succeeded if a complete snapshot of its \
         source began between its time and the next one, and ended within the plan’s grace. Late, incomplete, failed and missed runs are not successes. A \
         run whose grace was not over when the newest record was made is not counted. Without expected runs there is no rate.",
    ),
    (
        "Missed and failed",
        "A run failed if the audit log has an attempt at it and no snapshot came of it; it was missed if there is no trace of it at all.",
    ),
    (
        "Age of data",
        "From the time of the newest complete data that was committed, to the moment that is told; just before the next complete snapshot it is oldest. Before \
         the first snapshot it counts from the first plan on. The target is the smallest that plans of that moment name for the source.",
    ),
    (
        "Time to recover",
        "Of incidents: from their beginning to their end, as people recorded both. Of drills: from their beginning to the last check.",
    ),
    (
        "Growth and reduction",
        "The last state that was recorded on each day. Reduction is the bytes of the files of all snapshots divided by the bytes of all packs: deduplication \
         and compression together, which records do not tell apart. What runs stored is from manifests, and from certificates of those that are deleted.",
    ),
    (
        "Retention",
        "The days, weeks, months and years that the policy of the last plan keeps, in its time zone, and the snapshot that satisfied each at the end. A slot in \
         which nothing was due lacks nothing.",
    ),
    (
        "Verification",
        "Packs that checks read in full and found to be what they were, by bytes, as the newest state says. Longest unread is the time from the oldest of these \
         reads to the end of what is told.",
    ),
    (
        "Drills",
        "A drill passes only if every check passed. What could not be checked is never a pass. Sign-offs are shown whenever they were made.",
    ),
    (
        "Erasures",
        "A restore brings an erasure back if its snapshot has data from before it. Of each restore the last record counts.",
    ),
    (
        "Deletions",
        "Certificates that were signed before the first object was deleted, and when all were gone. They are no proof that a bucket keeps no other version, but \
         where the store said so.",
    ),
];
