package main

import (
	"context"
	"errors"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
)

// pending has the tokens of activities that somebody else is to complete.
var pending = make(chan []byte, 10)

var activities = []any{Echo, FailTwice, Fatal, Beat, UntilCancelled, Pend}

func Echo(ctx context.Context, text string) (string, error) { return "echo " + text, nil }

func FailTwice(ctx context.Context) (int32, error) {
	attempt := activity.GetInfo(ctx).Attempt
	if attempt < 3 {
		return 0, temporal.NewApplicationErrorWithCause("not yet", "Early", errors.New("inner"), attempt)
	}
	return attempt, nil
}

func Fatal(ctx context.Context) error {
	return temporal.NewNonRetryableApplicationError("fatal", "Fatal", nil, "detail", 7)
}

// Beat fails once, and then knows what the first attempt has told.
func Beat(ctx context.Context) (int, error) {
	if activity.GetInfo(ctx).Attempt == 1 {
		activity.RecordHeartbeat(ctx, 42)
		return 0, errors.New("lost")
	}
	var told int
	err := activity.GetHeartbeatDetails(ctx, &told)
	return told, err
}

func UntilCancelled(ctx context.Context) error {
	for {
		activity.RecordHeartbeat(ctx)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func Pend(ctx context.Context) (string, error) {
	pending <- activity.GetInfo(ctx).TaskToken
	return "", activity.ErrResultPending
}
