// Workflows of the Go SDK, and what a client and a server of it say.
//
// othersdks HOST:PORT DIRECTORY runs each scenario and leaves, of each, its history and description as
// protobuf, and what was said in a file of text.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"google.golang.org/protobuf/proto"
)

const queue = "go"

// stage is where scenarios play: a client, and where what is seen goes.
type stage struct {
	client.Client
	directory string
	said      []string
}

type silent struct{}

func (silent) Debug(string, ...any) {}
func (silent) Info(string, ...any)  {}
func (silent) Warn(string, ...any)  {}
func (silent) Error(string, ...any) {}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	connection, err := client.Dial(client.Options{HostPort: os.Args[1], Logger: silent{}, Identity: "client"})
	must(err)
	s := &stage{Client: connection, directory: os.Args[2]}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	s.addSearchAttributes(ctx)
	w := worker.New(connection, queue, worker.Options{EnableSessionWorker: true, Identity: "worker", BuildID: "build"})
	for _, one := range workflows {
		w.RegisterWorkflow(one)
	}
	for _, one := range activities {
		w.RegisterActivity(one)
	}
	must(w.Start())
	defer w.Stop()
	for _, one := range scenarios {
		one.play(ctx, s)
	}
	said := strings.Join(s.said, "\n") + "\n"
	must(os.WriteFile(filepath.Join(s.directory, "said.txt"), []byte(said), 0o644))
}

func (s *stage) addSearchAttributes(ctx context.Context) {
	_, err := s.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
		Namespace: "default",
		SearchAttributes: map[string]enumspb.IndexedValueType{
			"GoKeyword": enumspb.INDEXED_VALUE_TYPE_KEYWORD,
			"GoInt":     enumspb.INDEXED_VALUE_TYPE_INT,
		},
	})
	must(err)
}

func (s *stage) say(what ...any) { s.said = append(s.said, fmt.Sprint(what...)) }

// save leaves the history and the description of a run, and replays it.
func (s *stage) save(ctx context.Context, name, workflowID, runID string) {
	history := &historypb.History{}
	events := s.GetWorkflowHistory(ctx, workflowID, runID, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		must(err)
		history.Events = append(history.Events, event)
	}
	description, err := s.DescribeWorkflowExecution(ctx, workflowID, runID)
	must(err)
	s.write(name+".history", history)
	s.write(name+".description", description)
	replayer := worker.NewWorkflowReplayer()
	for _, one := range workflows {
		replayer.RegisterWorkflow(one)
	}
	if err := replayer.ReplayWorkflowHistory(silent{}, history); err != nil {
		s.say(name, " cannot be replayed: ", err)
	}
}

func (s *stage) write(name string, message proto.Message) {
	content, err := proto.Marshal(message)
	must(err)
	must(os.WriteFile(filepath.Join(s.directory, name), content, 0o644))
}
