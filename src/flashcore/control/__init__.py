"""The controller: goal -> rollout -> replicas.

Building one (all parts are passed in; nothing is global):

    ledger = Ledger(backend, scope, KINDS)                            # control.store, control.kinds
    leadership = await ledger.take_over("host:pid", duration=10.0)    # or campaign() on a shared store
    controller = Controller(
        ledger=ledger, leadership=leadership,
        parts=registry,                              # .strategies .gates .scalers .probes .resource_types
        providers={"process": provider}, default_provider="process",  # made, not started
        dataplane=link, artifacts=artifact_store,
        surroundings=surroundings,                   # environment(revision), secrets(names): services.Surroundings
        amend_env=registry.amend_replica_env,
        observers=(lambda event: registry.observers.tell(event=event),),
    )
    await controller.start()                         # takes over what is stored and what runs
    await controller.lost                            # done when this one leads no more, with the reason
    await controller.close()                         # replicas and gateways go on

Operations, all idempotent, with typed refusals (model.errors, control.refusals):

    deploy(manifest, names=None)  scale(name, count)  scale_by_policy(name)  undeploy(name, grace=None)  undeploy_all()
    promote(name)  promote_fully(name)  abort(name)  retry(name)  undo(name, revision=None)  pause(name)  resume(name)
    restart(name, at=None)  hold_traffic(name)  release_traffic(name)  cordon(name, replica)  uncordon(name, replica)

What is: endpoints(), view(name), views(), table, events(), last_events(), logs(replica), logs_of_ended(name, replica),
logs_of_undeployed(name, replica).
What happens: follow(name), watch_events(), wait_until(name, wanted, timeout), wait_gone(name, timeout). Views are
`readmodel.DeploymentView`.

How it is laid out; the upper half is pure, the lower half is the shell around it:

    reconcile   one pass: snapshot -> draft -> pass. Steps of it, one file each:
                lifecycle, health (what was seen -> phase, health)   failures, backoff (what failed counts)
                goals     beginnings, rollouts, initial, restoring, endings, keeping, restarting, progress
                check (invariants)   placing, victims   sides, traffic (who serves)   status
    consult     asks strategy and gates;  commands, steering, cordoning: what people ask, as changes of a draft
    loop        one per deployment: observe (observing), decide, check, commit (records), act (acting); errands, pace
    controller  all loops (readings, housekeeping); sightings (providers), probing, sampling + scaling, publishing
                (gateways), evidence (gates), sweep, alarms, company + isolation (plugins, in threads),
                operations (deploy's checks), turns, store/ (records, epoch, log)
"""

from __future__ import annotations

from flashcore.control.controller import Controller
from flashcore.control.kinds import KINDS
from flashcore.control.readmodel import DeploymentView, SideStatus
from flashcore.control.services import Surroundings

__all__ = ["KINDS", "Controller", "DeploymentView", "SideStatus", "Surroundings"]
