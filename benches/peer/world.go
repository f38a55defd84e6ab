package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	v1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/cloudprovider"
)

// objects is a List of anything.
type objects struct {
	Items []json.RawMessage `json:"items"`
}

// world is a List by kind.
type world struct {
	pools   []*v1.NodePool
	nodes   []*corev1.Node
	running []*corev1.Pod
	pending []*corev1.Pod
	others  []client.Object
}

func (o objects) sorted() (world, error) {
	var w world
	for i, raw := range o.Items {
		var kind metav1.TypeMeta
		if err := json.Unmarshal(raw, &kind); err != nil {
			return w, err
		}
		into := func(object client.Object) error {
			if err := json.Unmarshal(raw, object); err != nil {
				return fmt.Errorf("item %d: %w", i, err)
			}
			object.SetUID(types.UID(fmt.Sprintf("uid-%d", i)))
			return nil
		}
		var err error
		switch kind.Kind {
		case "Pod":
			pod := &corev1.Pod{}
			if err = into(pod); pod.Spec.NodeName == "" {
				w.pending = append(w.pending, pod)
			} else {
				w.running = append(w.running, pod)
			}
		case "NodePool":
			pool := &v1.NodePool{}
			err = into(pool)
			w.pools = append(w.pools, pool)
		case "Node":
			node := &corev1.Node{}
			err = into(node)
			w.nodes = append(w.nodes, node)
		case "Namespace":
			w.others = append(w.others, &corev1.Namespace{})
			err = into(w.others[len(w.others)-1])
		case "PersistentVolume":
			w.others = append(w.others, &corev1.PersistentVolume{})
			err = into(w.others[len(w.others)-1])
		case "PersistentVolumeClaim":
			w.others = append(w.others, &corev1.PersistentVolumeClaim{})
			err = into(w.others[len(w.others)-1])
		case "StorageClass":
			w.others = append(w.others, &storagev1.StorageClass{})
			err = into(w.others[len(w.others)-1])
		default:
			err = fmt.Errorf("item %d: unknown kind %q", i, kind.Kind)
		}
		if err != nil {
			return w, err
		}
	}
	return w, nil
}

// client serves the world's objects, with the indices that the peer relies on.
func (w world) client() client.Client {
	builder := fake.NewClientBuilder().WithObjects(w.others...)
	for _, node := range w.nodes {
		builder = builder.WithObjects(node.DeepCopy())
	}
	for _, pod := range w.running {
		builder = builder.WithObjects(pod.DeepCopy())
	}
	return builder.WithIndex(&corev1.Pod{}, "spec.nodeName", func(o client.Object) []string {
		return []string{o.(*corev1.Pod).Spec.NodeName}
	}).WithIndex(&storagev1.VolumeAttachment{}, "spec.nodeName", func(o client.Object) []string {
		return []string{o.(*storagev1.VolumeAttachment).Spec.NodeName}
	}).Build()
}

// cases answers one question a line.
func cases(ctx context.Context, offered []*cloudprovider.InstanceType, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 16<<20)
	out := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var list objects
		if err := json.Unmarshal(lines.Bytes(), &list); err != nil {
			return err
		}
		question, err := list.sorted()
		if err != nil {
			return err
		}
		result, err := solve(ctx, offered, question)
		if err != nil {
			return err
		}
		result.Seconds = 0
		if err := out.Encode(result); err != nil {
			return err
		}
	}
	return lines.Err()
}
