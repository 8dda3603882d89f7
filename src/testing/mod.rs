//! What tests need and programs do not: stores in memory, faults, a disk that loses power.
//! Compiled for tests and with the feature `testing` only.

mod attested;
#[cfg(feature = "cloud")]
mod buckets;
mod fault;
mod fault_plan;
pub mod forge;
pub mod fuzz_decode;
pub mod keys;
mod marks;
mod mirrors;
pub mod opened;
pub mod recipes;
mod repositories;
mod sim_disk;
mod sim_vfs;
pub mod stages;
mod stores;

pub use crate::store::Listed;
pub use crate::store::Operation;
pub use crate::store::Store;
pub use crate::store::StoreError;
pub use crate::store::StoreErrorKind;
pub use crate::store::memory::MemoryStore;
pub use crate::testing::attested::attest_in;
#[cfg(feature = "cloud")]
pub use crate::testing::buckets::bucket_store;
#[cfg(feature = "cloud")]
pub use crate::testing::buckets::signed_s3;
pub use crate::testing::fault::FaultStore;
pub use crate::testing::fault::Traced;
pub use crate::testing::fault_plan::Call;
pub use crate::testing::fault_plan::Fault;
pub use crate::testing::fault_plan::FaultOdds;
pub use crate::testing::fault_plan::InjectedFault;
pub use crate::testing::fault_plan::Outcome;
pub use crate::testing::fault_plan::SplitMix;
pub use crate::testing::fault_plan::is_injected;
pub use crate::testing::marks::deletions_in;
pub use crate::testing::marks::forget_in;
pub use crate::testing::marks::hold_in;
pub use crate::testing::marks::undo_in;
pub use crate::testing::mirrors::Mirrored;
pub use crate::testing::mirrors::mirror_in;
pub use crate::testing::mirrors::promote_in;
pub use crate::testing::repositories::FixedEnvironment;
pub use crate::testing::repositories::Maintainer;
pub use crate::testing::repositories::init_in;
pub use crate::testing::repositories::open_in;
pub use crate::testing::sim_vfs::DiskFault;
pub use crate::testing::sim_vfs::DiskQuirk;
pub use crate::testing::sim_vfs::SimDisk;
pub use crate::testing::stores::PosixHandle;
