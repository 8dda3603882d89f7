//! The protocol of sessions and collections as a model, checked in every state that can be reached.

mod canaries;
mod choice;
mod config;
mod decision;
mod exhaustive;
mod fairness;
mod model;
mod properties;
mod pruner;
mod reader;
mod run;
mod scripts;
mod set;
mod state;
mod view;
mod walks;
mod writer;
