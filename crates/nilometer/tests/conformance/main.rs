//! The component contract, held against every plugin the program is built with.

mod corpus;

use plugin::{Family, Registry};
use testkit::conformance::{Contract, declarations, decoders, encoders, filters, inputs, outputs, splitters, transforms, values};

/// As the program has it.
fn registry() -> Registry {
    let listed = [::inputs::KINDS, ::filters::KINDS, ::outputs::KINDS].into_iter().flatten().copied();
    Registry::new(codecs::kinds().chain(listed), codecs::PRESETS.iter().copied())
}

fn contract() -> Contract {
    Contract::new(registry(), engine::options_of)
}

#[test]
fn kinds_are_described() {
    contract().all(declarations::are_described);
}

#[test]
fn kinds_keep_to_naming_rules() {
    contract().all(declarations::keep_to_naming_rules);
    declarations::agree_on_limits(&contract());
    declarations::presets_have_kinds(&contract());
}

#[test]
fn kinds_have_valid_defaults_and_samples() {
    contract().all(declarations::have_valid_defaults_and_samples);
}

#[test]
fn kinds_have_examples_that_build() {
    contract().all(declarations::have_examples_that_build);
}

#[test]
fn values_of_the_wrong_type_are_reported_where_they_stand() {
    contract().all(values::of_the_wrong_type_are_reported_where_they_stand);
}

#[test]
fn values_of_misspelt_options_are_reported_with_a_suggestion() {
    contract().all(values::of_misspelt_options_are_reported_with_a_suggestion);
}

#[test]
fn values_that_are_odd_are_refused_or_work() {
    contract().all(values::that_are_odd_are_refused_or_work);
}

#[test]
fn splitters_make_progress() {
    contract().every(Family::Splitter, splitters::make_progress);
}

#[test]
fn splitters_depend_on_the_stream_only() {
    contract().every(Family::Splitter, splitters::depend_on_the_stream_only);
}

#[test]
fn decoders_survive_garbage() {
    contract().every(Family::Decoder, decoders::survive_garbage);
}

#[test]
fn decoders_stay_within_bounds() {
    contract().every(Family::Decoder, decoders::stay_within_bounds);
}

#[test]
fn decoders_forget_what_they_refused() {
    contract().every(Family::Decoder, decoders::forget_what_they_refused);
}

#[test]
fn transforms_survive_any_message() {
    contract().every(Family::Transform, transforms::survive_any_message);
}

#[test]
fn encoders_write_valid_output() {
    contract().every(Family::Encoder, encoders::write_valid_output);
}

#[test]
fn filters_survive_any_message() {
    contract().every(Family::Filter, filters::survive_any_message);
}

#[test]
fn filters_hand_their_state_on() {
    contract().every(Family::Filter, filters::hand_their_state_on);
}

#[test]
fn filters_survive_damaged_state() {
    contract().every(Family::Filter, filters::survive_damaged_state);
}

#[test]
fn inputs_start_and_stop() {
    contract().every(Family::Input, inputs::start_and_stop);
}

#[test]
fn inputs_say_that_an_address_is_taken() {
    contract().every(Family::Input, inputs::say_that_an_address_is_taken);
}

#[test]
fn outputs_give_a_verdict_on_every_message() {
    contract().every(Family::Output, outputs::give_a_verdict_on_every_message);
}

#[test]
fn outputs_blame_the_world_for_its_faults() {
    contract().every(Family::Output, outputs::blame_the_world_for_its_faults);
}

#[test]
fn outputs_honour_a_stop_while_blocked() {
    contract().every(Family::Output, outputs::honour_a_stop_while_blocked);
}

/// The scripts of the library. What a test of their own looks at (output, state) is not asked here.
fn library() -> Contract {
    Contract::new(Registry::default().with_library(::filters::library::KINDS), engine::options_of)
}

#[test]
fn scripts_of_the_library_are_described_and_build() {
    let library = library();
    library.all(declarations::are_described);
    library.all(declarations::have_valid_defaults_and_samples);
    library.all(declarations::have_examples_that_build);
    library.all(values::of_the_wrong_type_are_reported_where_they_stand);
    declarations::agree_on_limits(&library);
}

#[test]
fn decoders_of_the_library_survive_garbage() {
    let library = library();
    library.every(Family::Decoder, decoders::survive_garbage);
    library.every(Family::Decoder, decoders::forget_what_they_refused);
}

#[test]
fn decoders_of_the_library_stay_within_bounds() {
    library().every(Family::Decoder, decoders::stay_within_bounds);
}

#[test]
fn filters_and_transforms_of_the_library_survive_any_message() {
    let library = library();
    library.every(Family::Transform, transforms::survive_any_message);
    library.every(Family::Filter, filters::survive_any_message);
}
