"""Which test does what is asked for at each address that changes something, so that every one is held to its entry in the ledger.

A test that is named here fails where it asks for nothing there that is accepted and on record (see `tests.once`), and the walk over
all addresses fails for one that is named nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

CHANGES_NOTHING: Final[Mapping[str, str]] = {
    "POST api/v1/policies/check/": "reads an expression and says what is wrong with it",
    "POST policies/check/": "the same for the editor",
    "POST access-policies/check/": "the same for the editor of access policies",
    "POST api/v1/serving/authorize": "says whether a caller may score; what was scored is recorded by the worker in groups",
    "POST verify/": "checks what somebody brings along and keeps nothing of it",
    "POST healthz": "answers any method and keeps nothing",
    "PUT healthz": "answers any method and keeps nothing",
    "PATCH healthz": "answers any method and keeps nothing",
    "DELETE healthz": "answers any method and keeps nothing",
    "POST metrics": "answers any method and keeps nothing",
    "PUT metrics": "answers any method and keeps nothing",
    "PATCH metrics": "answers any method and keeps nothing",
    "DELETE metrics": "answers any method and keeps nothing",
    "POST readyz": "answers any method and keeps nothing",
    "PUT readyz": "answers any method and keeps nothing",
    "PATCH readyz": "answers any method and keeps nothing",
    "DELETE readyz": "answers any method and keeps nothing",
}
"""What takes a body, or any method, and changes nothing; each with its reason."""

BY_THE_ACTION_ALONE: Final[frozenset[str]] = frozenset()
"""What no test asks for with a body that is accepted: the action below it is held to its entry wherever a test calls it, the address
is not. Nothing is added here."""

_BY_FILE: Final[Mapping[str, Mapping[str, str]]] = {
    "tests/access/test_ending_sessions.py": {
        "POST me/sessions/": "test_logging_out_everywhere_else_asks_first_and_keeps_this_session",
        "POST people/<uuid:uuid>/sessions/": "test_an_administrator_ends_a_persons_sessions_when_confirmed",
    },
    "tests/access/test_role_pages.py": {
        "POST groups/<int:pk>/delete/": "test_members_and_roles_of_a_group_change_on_its_page",
        "POST groups/<int:pk>/members/": "test_members_and_roles_of_a_group_change_on_its_page",
        "POST groups/<int:pk>/rename/": "test_members_and_roles_of_a_group_change_on_its_page",
        "POST groups/<int:pk>/roles/": "test_members_and_roles_of_a_group_change_on_its_page",
        "POST groups/new/": "test_a_group_is_created_on_its_page",
        "POST roles/<int:pk>/delete/": "test_a_role_is_written_changed_and_deleted_on_its_pages",
        "POST roles/<int:pk>/edit/": "test_a_role_is_written_changed_and_deleted_on_its_pages",
        "POST roles/new/": "test_a_role_is_written_changed_and_deleted_on_its_pages",
    },
    "tests/access/test_api.py": {
        "POST api/v1/service-accounts/<uuid:uuid>/tokens/": "test_a_token_is_issued_once_with_the_fields_that_may_be_set",
        "POST api/v1/tokens/<str:prefix>/revoke/": "test_a_session_changes_nothing_through_the_api_without_a_csrf_token",
    },
    "tests/access/test_views.py": {
        "POST people/<uuid:uuid>/active/": "test_deactivating_asks_first",
        "POST people/<uuid:uuid>/groups/": "test_roles_and_groups_change_by_plain_posts",
        "POST people/<uuid:uuid>/roles/": "test_roles_and_groups_change_by_plain_posts",
        "POST people/new/": "test_a_person_is_created_with_the_fields_of_the_form_and_no_other",
        "POST service-accounts/<uuid:uuid>/active/": "test_a_service_account_is_deactivated_only_when_confirmed",
        "POST service-accounts/<uuid:uuid>/roles/": "test_a_service_account_gets_a_role_and_a_token_whose_secret_is_shown_once",
        "POST service-accounts/<uuid:uuid>/tokens/": "test_a_service_account_gets_a_role_and_a_token_whose_secret_is_shown_once",
        "POST service-accounts/<uuid:uuid>/tokens/<str:prefix>/revoke/": "test_revoking_asks_first",
        "POST service-accounts/new/": "test_a_service_account_gets_a_role_and_a_token_whose_secret_is_shown_once",
    },
    "tests/audit/test_views.py": {"POST audit/verify/": "test_verify_now_shows_the_result_and_records_it"},
    "tests/datasets/test_views.py": {
        "POST api/v1/datasets/": "test_the_api_registers_uploads_profiles_and_adds_recipes",
        "POST api/v1/datasets/<slug:name>/recipes/": "test_the_api_registers_uploads_profiles_and_adds_recipes",
        "POST api/v1/datasets/<slug:name>/versions/": "test_the_api_registers_uploads_profiles_and_adds_recipes",
        "POST datasets/<slug:name>/upload/": "test_from_registering_to_a_profile_by_plain_forms",
        "POST datasets/new/": "test_from_registering_to_a_profile_by_plain_forms",
    },
    "tests/flows/test_accepted.py": {
        "POST api/v1/break-glass/<uuid:uuid>/answer/": "test_the_glass_is_broken_over_the_api",
        "POST api/v1/comments/<int:pk>/edit/": "test_a_thread_lives_over_the_api",
        "POST api/v1/delegations/<uuid:uuid>/end/": "test_a_delegation_is_ended_over_the_api",
        "POST api/v1/envelopes/<uuid:uuid>/signatures/": "test_an_envelope_lives_over_the_api",
        "POST api/v1/envelopes/<uuid:uuid>/withdraw/": "test_an_envelope_lives_over_the_api",
        "POST api/v1/exceptions/<uuid:uuid>/withdraw/": "test_a_gate_is_excepted_and_blocks_again_over_the_api",
        "POST api/v1/findings/<uuid:uuid>/answer/": "test_a_finding_lives_over_the_api",
        "POST api/v1/findings/<uuid:uuid>/close/": "test_a_finding_lives_over_the_api",
        "POST api/v1/findings/<uuid:uuid>/comments/": "test_a_finding_lives_over_the_api",
        "POST api/v1/findings/<uuid:uuid>/extend/": "test_a_finding_lives_over_the_api",
        "POST api/v1/findings/<uuid:uuid>/return/": "test_a_finding_lives_over_the_api",
        "POST api/v1/findings/<uuid:uuid>/withdraw/": "test_who_raised_a_finding_withdraws_it_over_the_api",
        "POST api/v1/models/<str:name>/envelopes/": "test_an_envelope_lives_over_the_api",
        "POST api/v1/models/<str:name>/rollback/": "test_a_stage_is_rolled_back_over_the_api",
        "POST api/v1/models/<str:name>/versions/<int:number>/break-glass/": "test_the_glass_is_broken_over_the_api",
        "POST api/v1/models/<str:name>/versions/<int:number>/card/restore/": "test_a_card_says_again_what_it_said",
        "POST api/v1/models/<str:name>/versions/<int:number>/compare/": "test_a_version_is_compared_once_more_over_the_api",
        "POST api/v1/models/<str:name>/versions/<int:number>/findings/": "test_a_finding_lives_over_the_api",
        "POST api/v1/monitoring/<slug:name>/alerts/<int:pk>/retrain": "test_a_retraining_is_asked_for_over_the_api",
        "POST api/v1/reviews/<uuid:uuid>/exceptions/": "test_a_gate_is_excepted_and_blocks_again_over_the_api",
        "POST api/v1/reviews/<uuid:uuid>/rounds/": "test_a_review_is_steered_over_the_api",
        "POST api/v1/reviews/<uuid:uuid>/sign-again/": "test_stale_signatures_are_asked_for_over_the_api",
        "POST api/v1/reviews/<uuid:uuid>/threads/": "test_a_thread_lives_over_the_api",
        "POST api/v1/reviews/<uuid:uuid>/withdraw/": "test_a_review_is_steered_over_the_api",
        "POST api/v1/sign-offs/<uuid:uuid>/dismiss/": "test_a_review_is_steered_over_the_api",
        "POST api/v1/sign-offs/<uuid:uuid>/withdraw/": "test_a_review_is_steered_over_the_api",
        "POST api/v1/threads/<uuid:uuid>/reopen/": "test_a_thread_lives_over_the_api",
        "POST api/v1/threads/<uuid:uuid>/replies/": "test_a_thread_lives_over_the_api",
        "POST api/v1/threads/<uuid:uuid>/resolve/": "test_a_thread_lives_over_the_api",
        "POST break-glass/<uuid:uuid>/": "test_the_glass_is_broken_by_plain_forms",
        "POST datasets/<slug:name>/recipes/new/": "test_a_recipe_is_kept_by_a_plain_form",
        "POST envelopes/<uuid:uuid>/sign/": "test_an_envelope_is_signed_and_withdrawn_by_plain_forms",
        "POST envelopes/<uuid:uuid>/withdraw/": "test_an_envelope_is_signed_and_withdrawn_by_plain_forms",
        "POST me/keys/": "test_single_keys_are_switched_off_on_ones_own_page",
        "POST models/<str:name>/v/<int:number>/break-glass/": "test_the_glass_is_broken_by_plain_forms",
        "POST models/<str:name>/v/<int:number>/compare-again/": "test_a_version_is_compared_once_more_by_a_plain_form",
        "POST models/<str:name>/v/<int:number>/sign-again/": "test_stale_signatures_are_asked_for_on_the_page",
        "POST monitoring/<slug:name>/alerts/<int:pk>/retrain/": "test_a_retraining_is_asked_for_by_a_plain_form",
    },
    "tests/flows/test_ledger_alarm.py": {
        "POST audit/integrity/": "test_a_risk_officer_answers_for_it_and_promotion_goes_on"
    },
    "tests/monitoring/test_views.py": {
        "POST api/v1/monitoring/<slug:name>/alerts/<int:pk>/acknowledge": "test_the_api_acknowledges_and_changes_limits",
        "POST api/v1/monitoring/<slug:name>/evaluate": "test_the_api_acknowledges_and_changes_limits",
        "POST api/v1/monitoring/<slug:name>/outcomes": "test_a_service_feeds_outcomes_and_learns_what_was_unknown",
        "PATCH api/v1/monitoring/<slug:name>/thresholds": "test_the_api_acknowledges_and_changes_limits",
        "POST monitoring/<slug:name>/alerts/<int:pk>/acknowledge/": "test_an_alert_is_acknowledged_on_the_page",
        "POST monitoring/<slug:name>/evaluate/": "test_evaluate_now_is_work_for_a_worker",
        "POST monitoring/<slug:name>/outcomes/": "test_a_file_of_outcomes_is_fed_on_the_page",
        "POST monitoring/<slug:name>/thresholds/": "test_limits_are_saved_by_those_who_care_and_wrong_ones_explained",
    },
    "tests/notices/test_api.py": {
        "POST api/v1/notifications/<uuid:uuid>/read/": "test_marks_one_or_all_as_read",
        "PUT api/v1/notifications/preference/": "test_a_preference_is_read_and_kept",
        "POST api/v1/notifications/read/": "test_marks_one_or_all_as_read",
    },
    "tests/notices/test_views.py": {
        "POST me/mail/": "test_mail_is_chosen_on_ones_own_page",
        "POST me/mail/test/": "test_a_test_mail_is_asked_for_on_ones_own_page",
        "POST notifications/<uuid:uuid>/read/": "test_one_or_all_are_marked_as_read",
        "POST notifications/read/": "test_one_or_all_are_marked_as_read",
    },
    "tests/access/entry/test_views.py": {
        "POST access-policies/new/": "test_a_policy_is_written_rehearsed_and_published_by_two_people",
        "POST access-policies/<slug:name>/edit/": "test_a_policy_is_edited_and_ended",
        "POST access-policies/<slug:name>/retire/": "test_a_policy_is_edited_and_ended",
        "POST access-policies/<slug:name>/v/<int:number>/publish/": "test_a_policy_is_written_rehearsed_and_published_by_two_people",
    },
    "tests/notices/webhooks/test_api.py": {
        "POST api/v1/webhooks/": "test_a_webhook_is_made_with_a_secret_that_is_answered_once",
        "PATCH api/v1/webhooks/<uuid:uuid>/": "test_a_webhook_is_changed_switched_and_deleted",
        "DELETE api/v1/webhooks/<uuid:uuid>/": "test_a_webhook_is_changed_switched_and_deleted",
        "POST api/v1/webhooks/<uuid:uuid>/test/": "test_an_example_is_sent_and_answered",
        "POST api/v1/webhooks/<uuid:uuid>/deliveries/<uuid:delivery>/redeliver/": "test_the_log_is_read_and_a_delivery_sent_again",
    },
    "tests/notices/webhooks/test_views.py": {
        "POST webhooks/new/": "test_from_the_form_to_a_secret_that_is_shown_once",
        "POST webhooks/<uuid:uuid>/edit/": "test_its_owner_changes_it_by_the_form",
        "POST webhooks/<uuid:uuid>/switch/": "test_it_is_switched_off_and_on",
        "POST webhooks/<uuid:uuid>/secret/": "test_a_new_secret_is_shown_once_and_signs_from_now_on",
        "POST webhooks/<uuid:uuid>/test/": "test_an_example_says_whether_it_arrived",
        "POST webhooks/<uuid:uuid>/delete/": "test_deleting_asks_first",
        "POST webhooks/<uuid:uuid>/deliveries/<uuid:delivery>/again/": "test_a_delivery_is_read_and_sent_again",
    },
    "tests/registry/test_api.py": {
        "POST api/v1/models/": "TestModels::test_a_model_is_created",
        "PATCH api/v1/models/<str:name>/": "TestModels::test_a_model_is_changed_but_not_renamed_or_given_away",
        "PUT api/v1/models/<str:name>/aliases/<str:alias>/": "TestRest::test_a_free_alias_is_set_listed_and_deleted",
        "DELETE api/v1/models/<str:name>/aliases/<str:alias>/": "TestRest::test_a_free_alias_is_set_listed_and_deleted",
        "PUT api/v1/models/<str:name>/tags/<str:key>/": "TestRest::test_tags_are_set_and_taken_off",
        "DELETE api/v1/models/<str:name>/tags/<str:key>/": "TestRest::test_tags_are_set_and_taken_off",
        "POST api/v1/models/<str:name>/versions/": "TestRegistering::test_files_are_registered_and_wait_for_the_scan",
        "PATCH api/v1/models/<str:name>/versions/<int:number>/": "TestRegistering::test_only_the_description_of_a_version_changes",
        "POST api/v1/models/<str:name>/versions/<int:number>/card/": "TestRest::test_the_card_is_revised_and_read",
        "POST api/v1/models/<str:name>/versions/<int:number>/evidence/": "TestRest::test_evidence_is_added_and_read",
        "PUT api/v1/models/<str:name>/versions/<int:number>/tags/<str:key>/": "TestRest::test_tags_are_set_and_taken_off",
        "DELETE api/v1/models/<str:name>/versions/<int:number>/tags/<str:key>/": "TestRest::test_tags_are_set_and_taken_off",
    },
    "tests/registry/test_pages.py": {
        "POST models/<str:name>/access/": "test_an_owner_gives_one_person_access_to_one_model_and_takes_it_back",
        "POST models/<str:name>/access/withdraw/": "test_an_owner_gives_one_person_access_to_one_model_and_takes_it_back",
        "POST models/<str:name>/aliases/": "test_a_free_alias_is_set_and_deleted_from_the_page",
        "POST models/<str:name>/v/<int:number>/card/": "test_the_card_is_written_and_its_difference_shown",
        "POST models/new/": "test_a_model_is_registered_from_the_form",
    },
    "tests/reviews/test_api.py": {
        "POST api/v1/models/<str:name>/promotions/": "test_whole_way_over_the_api",
        "POST api/v1/models/<str:name>/revocations/": "test_revocation_over_the_api",
        "POST api/v1/policies/": "test_policy_is_drafted_rehearsed_proposed_and_signed",
        "POST api/v1/policies/<slug:name>/<int:number>/propose/": "test_policy_is_drafted_rehearsed_proposed_and_signed",
        "POST api/v1/policies/<slug:name>/<int:number>/rehearsals/": "test_policy_is_drafted_rehearsed_proposed_and_signed",
        "POST api/v1/policies/<slug:name>/<int:number>/signatures/": "test_policy_is_drafted_rehearsed_proposed_and_signed",
        "POST api/v1/policies/<slug:name>/<int:number>/take-back/": "test_proposed_policy_is_taken_back",
        "POST api/v1/reviews/": "test_whole_way_over_the_api",
        "POST api/v1/reviews/<uuid:uuid>/sign-offs/": "test_whole_way_over_the_api",
    },
    "tests/reviews/test_envelope_pages.py": {
        "POST models/<str:name>/envelope/propose/": "test_the_page_proposes_without_any_script"
    },
    "tests/reviews/test_findings.py": {
        "POST findings/<uuid:uuid>/<slug:step>/": "TestPages::test_raised_answered_and_closed_by_plain_forms",
        "POST findings/<uuid:uuid>/extend/": "TestPages::test_a_later_date_is_signed_on_its_page",
        "POST models/<str:name>/v/<int:number>/findings/new/": "TestPages::test_raised_answered_and_closed_by_plain_forms",
    },
    "tests/reviews/test_pages.py": {
        "POST models/<str:name>/rollback/": "test_rollback_and_revocation_by_form",
        "POST models/<str:name>/v/<int:number>/comment/": "test_comments_are_shown_safely",
        "POST models/<str:name>/v/<int:number>/new-round/": "test_new_round_and_withdrawal_by_form",
        "POST models/<str:name>/v/<int:number>/promote/": "test_promotion_by_form",
        "POST models/<str:name>/v/<int:number>/read/": "test_sections_are_marked_as_read_and_ask_again_when_they_change",
        "POST models/<str:name>/v/<int:number>/request-review/": "test_request_page_says_what_is_asked_and_opens_the_review",
        "POST models/<str:name>/v/<int:number>/revoke/": "test_rollback_and_revocation_by_form",
        "POST models/<str:name>/v/<int:number>/sign-offs/<uuid:uuid>/dismiss/": "test_dismissing_and_taking_back_by_form",
        "POST models/<str:name>/v/<int:number>/sign-offs/<uuid:uuid>/withdraw/": "test_dismissing_and_taking_back_by_form",
        "POST models/<str:name>/v/<int:number>/sign/": "test_signing_as_a_plain_post",
        "POST models/<str:name>/v/<int:number>/withdraw-review/": "test_new_round_and_withdrawal_by_form",
    },
    "tests/reviews/test_policy_pages.py": {
        "POST policies/<slug:name>/edit/": "TestPublication::test_written_proposed_rehearsed_signed",
        "POST policies/<slug:name>/v/<int:number>/propose/": "TestPublication::test_written_proposed_rehearsed_signed",
        "POST policies/<slug:name>/v/<int:number>/rehearsal/": "TestPublication::test_rehearsed_anew",
        "POST policies/<slug:name>/v/<int:number>/sign/": "TestPublication::test_written_proposed_rehearsed_signed",
        "POST policies/<slug:name>/v/<int:number>/take-back/": "TestPublication::test_author_takes_it_back",
        "POST policies/new/": "TestEditor::test_form_and_text_are_the_same_policy",
        "POST policies/packs/<slug:key>/<slug:name>/adopt/": "TestPacks::test_adopting_saves_a_draft_and_puts_nothing_in_force",
    },
    "tests/reviews/test_standing_in_pages.py": {
        "POST api/v1/delegations/": "test_over_the_api_somebody_signs_for_somebody",
        "POST me/delegations/": "test_a_delegation_is_given_and_ended_on_the_page",
        "POST me/delegations/<uuid:uuid>/end/": "test_a_delegation_is_given_and_ended_on_the_page",
        "POST models/<str:name>/v/<int:number>/exception/": "test_a_gate_is_excepted_on_its_page",
        "POST models/<str:name>/v/<int:number>/exceptions/<uuid:uuid>/withdraw/": "test_a_gate_is_excepted_on_its_page",
    },
    "tests/reviews/test_threads.py": {
        "POST comments/<int:pk>/edit/": "TestPages::test_everything_works_as_plain_forms",
        "POST threads/<uuid:uuid>/reply/": "TestPages::test_everything_works_as_plain_forms",
        "POST threads/<uuid:uuid>/resolve/": "TestPages::test_everything_works_as_plain_forms",
    },
    "tests/serving/test_api.py": {
        "POST api/v1/serving/deployments/<slug:name>/heartbeat": "test_a_worker_reports_and_learns_what_to_serve",
        "POST api/v1/serving/deployments/<slug:name>/pause": "test_the_kill_switch_over_the_api",
        "POST api/v1/serving/deployments/<slug:name>/resume": "test_the_kill_switch_over_the_api",
    },
    "tests/serving/test_views.py": {
        "POST deployments/<slug:name>/pause/": "test_the_kill_switch_asks_for_a_reason_and_shows_it",
        "POST deployments/new/": "test_a_deployment_is_set_up_with_a_form",
    },
    "tests/serving/test_tracking_views.py": {
        "POST api/v1/experiments/<int:number>": "test_the_same_over_the_api",
        "POST experiments/<int:number>/": "test_an_owner_shares_it_and_takes_it_back",
    },
    "tests/training/test_views.py": {
        "POST api/v1/training/": "test_the_api_starts_follows_and_cancels",
        "POST api/v1/training/<uuid:uuid>/cancel/": "test_the_api_starts_follows_and_cancels",
        "POST api/v1/training/<uuid:uuid>/retry/": "test_the_api_starts_follows_and_cancels",
        "POST training/<uuid:uuid>/cancel/": "test_cancel_and_retry_are_buttons_that_post",
        "POST training/<uuid:uuid>/retry/": "test_cancel_and_retry_are_buttons_that_post",
        "POST training/new/": "test_a_training_is_asked_for_by_a_plain_form",
    },
}

DEEDS: Final[Mapping[str, str]] = {
    deed: f"{path}::{name}" for path, named in _BY_FILE.items() for deed, name in named.items()
}
"""By method and pattern of the address, the test that does it."""
