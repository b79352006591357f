package main

import (
	"errors"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

var workflows = []any{
	Greet, Retry, Time, Mark, Child, Parent, Converse, Again, Flaky, CleanUp, InSession, Wait, Upsert, Fail,
}

func withActivities(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: time.Minute,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: 10 * time.Millisecond, MaximumAttempts: 3},
	})
}

func Greet(ctx workflow.Context, name string) (greeting string, err error) {
	err = workflow.ExecuteActivity(withActivities(ctx), Echo, name).Get(ctx, &greeting)
	return
}

func Retry(ctx workflow.Context) (string, error) {
	var attempts int32
	must(workflow.ExecuteActivity(withActivities(ctx), FailTwice).Get(ctx, &attempts))
	fatal := workflow.ExecuteActivity(withActivities(ctx), Fatal).Get(ctx, nil)
	var told int
	must(workflow.ExecuteActivity(withActivities(ctx), Beat).Get(ctx, &told))
	lonely := workflow.WithTaskQueue(workflow.WithScheduleToStartTimeout(withActivities(ctx), 50*time.Millisecond), "nobody")
	late := workflow.ExecuteActivity(lonely, Echo, "").Get(ctx, nil)
	return fmt.Sprint(attempts, told, fatal, late), nil
}

func Time(ctx workflow.Context) (string, error) {
	cancellable, cancel := workflow.WithCancel(ctx)
	long := workflow.NewTimer(cancellable, time.Hour)
	must(workflow.Sleep(ctx, 20*time.Millisecond))
	cancel()
	canceled := long.Get(ctx, nil)
	happened, err := workflow.AwaitWithTimeout(ctx, 20*time.Millisecond, func() bool { return false })
	must(err)
	which := ""
	selector := workflow.NewSelector(ctx)
	selector.AddFuture(workflow.NewTimer(ctx, 10*time.Millisecond), func(workflow.Future) { which = "short" })
	options := workflow.TimerOptions{Summary: "the long one"}
	selector.AddFuture(workflow.NewTimerWithOptions(ctx, time.Minute, options), func(workflow.Future) { which = "long" })
	selector.Select(ctx)
	return fmt.Sprint(canceled, happened, which), nil
}

func Mark(ctx workflow.Context) (string, error) {
	var effect, mutable int
	must(workflow.SideEffect(ctx, func(workflow.Context) any { return 5 }).Get(&effect))
	same := func(a, b any) bool { return a == b }
	must(workflow.MutableSideEffect(ctx, "mutable", func(workflow.Context) any { return 6 }, same).Get(&mutable))
	before := workflow.GetVersion(ctx, "change", workflow.DefaultVersion, 3)
	must(workflow.Sleep(ctx, 10*time.Millisecond))
	after := workflow.GetVersion(ctx, "change", workflow.DefaultVersion, 3)
	local := workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		StartToCloseTimeout: time.Minute,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: time.Millisecond, MaximumAttempts: 4},
	})
	var echo string
	var attempts int32
	must(workflow.ExecuteLocalActivity(local, Echo, "local").Get(ctx, &echo))
	must(workflow.ExecuteLocalActivity(local, FailTwice).Get(ctx, &attempts))
	fatal := workflow.ExecuteLocalActivity(local, Fatal).Get(ctx, nil)
	return fmt.Sprint(effect, mutable, before, after, echo, attempts, fatal), nil
}

func Child(ctx workflow.Context, how string) (string, error) {
	switch how {
	case "fail":
		return "", temporal.NewApplicationError("child failed", "ChildType", "detail")
	case "wait":
		return "", workflow.Sleep(ctx, time.Hour)
	case "listen":
		var heard string
		workflow.GetSignalChannel(ctx, "say").Receive(ctx, &heard)
		return heard, nil
	}
	return "child " + how, nil
}

func Parent(ctx workflow.Context) (string, error) {
	child := func(name string, policy enumspb.ParentClosePolicy) workflow.Context {
		return workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
			WorkflowID:               workflow.GetInfo(ctx).WorkflowExecution.ID + "-" + name,
			WorkflowExecutionTimeout: time.Hour,
			Memo:                     map[string]any{"name": name},
			ParentClosePolicy:        policy,
			WorkflowIDReusePolicy:    enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		})
	}
	const terminated = enumspb.PARENT_CLOSE_POLICY_TERMINATE
	var fine, heard string
	must(workflow.ExecuteChildWorkflow(child("fine", terminated), Child, "fine").Get(ctx, &fine))
	failed := workflow.ExecuteChildWorkflow(child("fail", terminated), Child, "fail").Get(ctx, nil)
	listening := workflow.ExecuteChildWorkflow(child("listen", terminated), Child, "listen")
	must(listening.GetChildWorkflowExecution().Get(ctx, nil))
	must(listening.SignalChildWorkflow(ctx, "say", "hello").Get(ctx, nil))
	must(listening.Get(ctx, &heard))
	repeated := workflow.ExecuteChildWorkflow(child("fine", terminated), Child, "fine").Get(ctx, nil)
	unheard := workflow.SignalExternalWorkflow(ctx, "no-such", "", "say", 1).Get(ctx, nil)
	unknown := workflow.RequestCancelExternalWorkflow(ctx, "no-such", "").Get(ctx, nil)
	left := workflow.ExecuteChildWorkflow(child("left", enumspb.PARENT_CLOSE_POLICY_ABANDON), Child, "wait")
	must(left.GetChildWorkflowExecution().Get(ctx, nil))
	return fmt.Sprint(fine, heard, failed, repeated != nil, unheard, unknown), nil
}

func Converse(ctx workflow.Context) (string, error) {
	total := 0
	must(workflow.SetQueryHandler(ctx, "total", func() (int, error) { return total, nil }))
	add := func(ctx workflow.Context, number int) (int, error) {
		must(workflow.ExecuteActivity(withActivities(ctx), Echo, "add").Get(ctx, nil))
		total += number
		return total, nil
	}
	check := func(number int) error {
		if number < 0 {
			return errors.New("negative")
		}
		return nil
	}
	must(workflow.SetUpdateHandlerWithOptions(ctx, "add", add, workflow.UpdateHandlerOptions{Validator: check}))
	fail := func(workflow.Context) error { return temporal.NewApplicationError("boom", "Boom") }
	must(workflow.SetUpdateHandler(ctx, "fail", fail))
	workflow.GetSignalChannel(ctx, "stop").Receive(ctx, nil)
	must(workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) }))
	return fmt.Sprint("total ", total), nil
}

func Again(ctx workflow.Context, number int) (int, error) {
	if number == 2 {
		return number, nil
	}
	return 0, workflow.NewContinueAsNewError(ctx, Again, number+1)
}

func Flaky(ctx workflow.Context) (int32, error) {
	attempt := workflow.GetInfo(ctx).Attempt
	if attempt < 2 {
		return 0, temporal.NewApplicationError("not yet", "Early", attempt)
	}
	return attempt, nil
}

func CleanUp(ctx workflow.Context) (string, error) {
	patient := workflow.WithWaitForCancellation(workflow.WithHeartbeatTimeout(withActivities(ctx), time.Minute), true)
	err := workflow.ExecuteActivity(patient, UntilCancelled).Get(ctx, nil)
	free, _ := workflow.NewDisconnectedContext(ctx)
	must(workflow.ExecuteActivity(withActivities(free), Echo, "clean").Get(free, nil))
	return "", err
}

func InSession(ctx workflow.Context) (string, error) {
	options := workflow.SessionOptions{CreationTimeout: time.Minute, ExecutionTimeout: time.Minute}
	session, err := workflow.CreateSession(withActivities(ctx), &options)
	if err != nil {
		return "", err
	}
	defer workflow.CompleteSession(session)
	var echo string
	err = workflow.ExecuteActivity(session, Echo, "in session").Get(session, &echo)
	return echo, err
}

func Wait(ctx workflow.Context) (string, error) {
	var byToken, byID string
	must(workflow.ExecuteActivity(withActivities(ctx), Pend).Get(ctx, &byToken))
	named := workflow.WithActivityOptions(ctx, workflow.ActivityOptions{ActivityID: "named", StartToCloseTimeout: time.Minute})
	must(workflow.ExecuteActivity(named, Pend).Get(ctx, &byID))
	return byToken + " " + byID, nil
}

func Upsert(ctx workflow.Context) (string, error) {
	must(workflow.UpsertMemo(ctx, map[string]any{"upserted": 1}))
	keyword := temporal.NewSearchAttributeKeyKeyword("GoKeyword").ValueSet("word")
	number := temporal.NewSearchAttributeKeyInt64("GoInt").ValueSet(3)
	return "", workflow.UpsertTypedSearchAttributes(ctx, keyword, number)
}

func Fail(ctx workflow.Context) error {
	options := temporal.ApplicationErrorOptions{
		NonRetryable: true,
		Details:      []any{1, "x"},
		Category:     temporal.ApplicationErrorCategoryBenign,
		Cause:        errors.New("cause"),
	}
	return temporal.NewApplicationErrorWithOptions("failed", "Failed", options)
}
