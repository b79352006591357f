package main

import (
	"context"
	"errors"
	"sort"
	"strings"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
)

type scenario struct {
	name string
	play func(ctx context.Context, s *stage)
}

var scenarios = []scenario{
	simple("greet", Greet, "Ada"), simple("retry", Retry), simple("time", Time), simple("mark", Mark),
	simple("parent", Parent), simple("again", Again, 1), simple("session", InSession), simple("fail", Fail),
	simple("upsert", Upsert), {"flaky", flaky}, {"converse", converse}, {"clean up", cleanUp}, {"wait", wait},
	{"terminate", terminate}, {"eager", eager}, {"reset", reset}, {"schedule", schedule}, {"list", list},
	{"refusals", refusals},
}

func options(id string) client.StartWorkflowOptions {
	return client.StartWorkflowOptions{
		ID:                       "go-" + id,
		TaskQueue:                queue,
		WorkflowExecutionTimeout: time.Hour,
		Memo:                     map[string]any{"memo": "start"},
		StaticSummary:            "summary",
		StaticDetails:            "details",
	}
}

func simple(name string, workflow any, args ...any) scenario {
	return scenario{name, func(ctx context.Context, s *stage) {
		s.run(ctx, name, options(name), workflow, args...)
	}}
}

// run says how a chain ends and saves its first and, if there is another, its last run.
func (s *stage) run(ctx context.Context, name string, options client.StartWorkflowOptions, workflow any, args ...any) {
	handle, err := s.ExecuteWorkflow(ctx, options, workflow, args...)
	must(err)
	first := handle.GetRunID()
	var result any
	err = handle.Get(ctx, &result)
	s.say(name, ": ", result, " ", err)
	s.save(ctx, name, options.ID, first)
	if handle.GetRunID() != first {
		s.save(ctx, name+" at last", options.ID, handle.GetRunID())
	}
}

func flaky(ctx context.Context, s *stage) {
	retried := options("flaky")
	retried.RetryPolicy = &temporal.RetryPolicy{InitialInterval: 10 * time.Millisecond, MaximumAttempts: 5}
	s.run(ctx, "flaky", retried, Flaky)
}

func converse(ctx context.Context, s *stage) {
	start := options("converse")
	start.WorkflowIDConflictPolicy = enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL
	update := func(id, name string, args ...any) client.UpdateWorkflowOptions {
		return client.UpdateWorkflowOptions{
			WorkflowID: start.ID, UpdateID: id, UpdateName: name, Args: args,
			WaitForStage: client.WorkflowUpdateStageCompleted,
		}
	}
	begun := s.NewWithStartWorkflowOperation(start, Converse)
	first := update("first", "add", 2)
	first.WorkflowID = ""
	handle, err := s.UpdateWithStartWorkflow(ctx, client.UpdateWithStartWorkflowOptions{
		StartWorkflowOperation: begun, UpdateOptions: first,
	})
	must(err)
	var total int
	must(handle.Get(ctx, &total))
	s.say("update with start: ", total)
	for _, one := range []client.UpdateWorkflowOptions{update("refused", "add", -1), update("failing", "fail")} {
		handle, err = s.UpdateWorkflow(ctx, one)
		must(err)
		s.say(one.UpdateID, ": ", handle.Get(ctx, nil))
	}
	value, err := s.QueryWorkflow(ctx, start.ID, "", "total")
	must(err)
	must(value.Get(&total))
	_, err = s.QueryWorkflow(ctx, start.ID, "", "unknown")
	s.say("queries: ", total, " ", err)
	_, err = s.SignalWithStartWorkflow(ctx, start.ID, "stop", nil, options("converse"), Converse)
	must(err)
	var result string
	must(s.GetWorkflow(ctx, start.ID, "").Get(ctx, &result))
	_, err = s.QueryWorkflowWithOptions(ctx, &client.QueryWorkflowWithOptionsRequest{
		WorkflowID: start.ID, QueryType: "total", QueryRejectCondition: enumspb.QUERY_REJECT_CONDITION_NOT_OPEN,
	})
	s.say(result, ", and then: ", err)
	s.save(ctx, "converse", start.ID, "")
}

func cleanUp(ctx context.Context, s *stage) {
	handle, err := s.ExecuteWorkflow(ctx, options("clean-up"), CleanUp)
	must(err)
	for {
		described, err := s.DescribeWorkflowExecution(ctx, handle.GetID(), "")
		must(err)
		pending := described.PendingActivities
		if len(pending) == 1 && pending[0].LastHeartbeatTime != nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	must(s.CancelWorkflow(ctx, handle.GetID(), ""))
	s.say("clean up: ", handle.Get(ctx, nil))
	s.save(ctx, "clean up", handle.GetID(), "")
}

func wait(ctx context.Context, s *stage) {
	handle, err := s.ExecuteWorkflow(ctx, options("wait"), Wait)
	must(err)
	must(s.CompleteActivity(ctx, <-pending, "by token", nil))
	<-pending
	must(s.CompleteActivityByID(ctx, "default", handle.GetID(), "", "named", "by id", nil))
	var result string
	must(handle.Get(ctx, &result))
	s.say("wait: ", result)
	s.say("late: ", s.CompleteActivityByID(ctx, "default", handle.GetID(), "", "named", "late", nil))
	s.save(ctx, "wait", handle.GetID(), "")
}

func terminate(ctx context.Context, s *stage) {
	once := options("terminate")
	once.WorkflowIDReusePolicy = enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE
	once.WorkflowExecutionErrorWhenAlreadyStarted = true
	handle, err := s.ExecuteWorkflow(ctx, once, Child, "wait")
	must(err)
	must(s.TerminateWorkflow(ctx, handle.GetID(), "", "because", "detail", 5))
	s.say("terminate: ", handle.Get(ctx, nil))
	_, err = s.ExecuteWorkflow(ctx, once, Child, "wait")
	var started *serviceerror.WorkflowExecutionAlreadyStarted
	s.say("started already: ", errors.As(err, &started))
}

func eager(ctx context.Context, s *stage) {
	eager := options("eager")
	eager.EnableEagerStart = true
	s.run(ctx, "eager", eager, Greet, "eager")
}

func reset(ctx context.Context, s *stage) {
	response, err := s.ResetWorkflowExecution(ctx, &workflowservice.ResetWorkflowExecutionRequest{
		Namespace:                 "default",
		WorkflowExecution:         &commonpb.WorkflowExecution{WorkflowId: "go-greet"},
		Reason:                    "again",
		WorkflowTaskFinishEventId: 4,
		RequestId:                 "reset",
	})
	must(err)
	var greeting string
	must(s.GetWorkflow(ctx, "go-greet", response.RunId).Get(ctx, &greeting))
	s.say("reset: ", greeting)
	s.save(ctx, "reset", "go-greet", response.RunId)
}

func schedule(ctx context.Context, s *stage) {
	handle, err := s.ScheduleClient().Create(ctx, client.ScheduleOptions{
		ID: "go-schedule",
		Spec: client.ScheduleSpec{
			Intervals:    []client.ScheduleIntervalSpec{{Every: time.Hour, Offset: time.Minute}},
			Calendars:    []client.ScheduleCalendarSpec{{Hour: []client.ScheduleRange{{Start: 3}}}},
			TimeZoneName: "Europe/Berlin",
		},
		Action: &client.ScheduleWorkflowAction{ID: "go-scheduled", Workflow: Greet, Args: []any{"Ada"}, TaskQueue: queue},
		Paused: true,
		Note:   "not yet",
	})
	must(err)
	must(handle.Trigger(ctx, client.ScheduleTriggerOptions{Overlap: enumspb.SCHEDULE_OVERLAP_POLICY_ALLOW_ALL}))
	must(handle.Unpause(ctx, client.ScheduleUnpauseOptions{Note: "go on"}))
	must(handle.Pause(ctx, client.SchedulePauseOptions{Note: "stop"}))
	must(handle.Update(ctx, client.ScheduleUpdateOptions{
		DoUpdate: func(input client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
			input.Description.Schedule.Policy.CatchupWindow = 5 * time.Minute
			return &client.ScheduleUpdate{Schedule: &input.Description.Schedule}, nil
		},
	}))
	described, err := handle.Describe(ctx)
	must(err)
	of := described.Schedule
	s.say("schedule: ", *of.State, " ", *of.Policy, " ", of.Spec.Intervals, " ", of.Spec.Calendars)
	must(handle.Delete(ctx))
	_, err = s.ScheduleClient().GetHandle(ctx, "no-such").Describe(ctx)
	s.say("no schedule: ", err)
}

func list(ctx context.Context, s *stage) {
	query := "WorkflowId STARTS_WITH 'go-parent'"
	found, err := s.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{Query: query})
	must(err)
	names := []string{}
	for _, one := range found.Executions {
		names = append(names, one.Execution.WorkflowId+" "+one.Status.String())
	}
	sort.Strings(names)
	count, err := s.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{Query: query})
	must(err)
	s.say(count.Count, ": ", strings.Join(names, ", "))
}

func refusals(ctx context.Context, s *stage) {
	_, err := s.DescribeWorkflowExecution(ctx, "nobody", "")
	s.say("describe: ", err)
	_, err = s.QueryWorkflow(ctx, "nobody", "", "total")
	s.say("query: ", err)
	s.say("signal: ", s.SignalWorkflow(ctx, "go-fail", "", "late", 1))
	_, err = s.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID: "go-fail", UpdateName: "late", WaitForStage: client.WorkflowUpdateStageAccepted,
	})
	s.say("update: ", err)
	_, err = s.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: "no-queue"}, Greet, "")
	s.say("start: ", err)
}
