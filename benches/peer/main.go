// Command peer packs pods with Karpenter's own scheduler and reports the nodes it
// would ask for, as JSON. It runs the scheduler outside a cluster: a fake client,
// a cluster state filled from the input, one open NodePool where none is given.
//
//	peer TYPES.json OBJECTS.json [DEADLINE]
//	peer TYPES.json --cases CASES.jsonl
//
// OBJECTS.json is a List of Pods and, where a question has them, Nodes,
// NodePools, Namespaces, volumes, claims and classes. CASES.jsonl has one such
// List a line, and each gets a line of answer with the pods left over.
//
// TYPES.json is in the kwok provider's form; like that provider, 100m of CPU and
// 10Mi of memory are kept back per node. The seconds are those of building the
// topology and solving, without reading.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/log"

	v1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/cloudprovider"
	fakeprovider "sigs.k8s.io/karpenter/pkg/cloudprovider/fake"
	"sigs.k8s.io/karpenter/pkg/controllers/provisioning/scheduling"
	"sigs.k8s.io/karpenter/pkg/controllers/state"
	"sigs.k8s.io/karpenter/pkg/events"
	"sigs.k8s.io/karpenter/pkg/operator/injection"
	"sigs.k8s.io/karpenter/pkg/operator/logging"
	"sigs.k8s.io/karpenter/pkg/operator/options"
	karpenter "sigs.k8s.io/karpenter/pkg/scheduling"
	"sigs.k8s.io/karpenter/pkg/test"
	nodepools "sigs.k8s.io/karpenter/pkg/utils/nodepool"
)

type sold struct {
	Price        float64
	Requirements []corev1.NodeSelectorRequirement
}

type entry struct {
	Name             string
	Architecture     string
	OperatingSystems []string
	Resources        corev1.ResourceList
	Offerings        []sold
}

type answer struct {
	Pods     int      `json:"pods"`
	Placed   int      `json:"placed"`
	Nodes    int      `json:"nodes"`
	PerHour  float64  `json:"perHour"`
	Seconds  float64  `json:"seconds"`
	TimedOut bool     `json:"timedOut"`
	Unplaced []string `json:"unplaced,omitempty"`
	// Only for single cases: who is where.
	Placement *placement `json:"placement,omitempty"`
}

func main() {
	if len(os.Args) < 3 {
		fail(fmt.Errorf("usage: peer TYPES.json PODS.json [DEADLINE]"))
	}
	var entries []entry
	read(os.Args[1], &entries)
	ctx := options.ToContext(injection.WithControllerName(context.Background(), "provisioner"), test.Options())
	log.SetLogger(logging.NopLogger)
	if os.Args[2] == "--cases" {
		fail(cases(ctx, instanceTypes(entries), os.Args[3]))
		return
	}
	var list objects
	read(os.Args[2], &list)
	question, err := list.sorted()
	fail(err)
	if len(os.Args) > 3 {
		deadline, err := time.ParseDuration(os.Args[3])
		fail(err)
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, deadline)
		defer cancel()
	}
	result, err := solve(ctx, instanceTypes(entries), question)
	fail(err)
	fail(json.NewEncoder(os.Stdout).Encode(result))
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

func read(path string, into any) {
	text, err := os.ReadFile(path)
	fail(err)
	if err := json.Unmarshal(text, into); err != nil {
		fail(fmt.Errorf("%s: %w", path, err))
	}
}

// instanceTypes describes each entry as a provider would.
func instanceTypes(entries []entry) []*cloudprovider.InstanceType {
	all := make([]*cloudprovider.InstanceType, 0, len(entries))
	for _, e := range entries {
		values := map[string]map[string]bool{}
		var offerings cloudprovider.Offerings
		for _, o := range e.Offerings {
			requirements := karpenter.NewRequirements()
			for _, r := range o.Requirements {
				requirements.Add(karpenter.NewRequirement(r.Key, r.Operator, r.Values...))
				if values[r.Key] == nil {
					values[r.Key] = map[string]bool{}
				}
				for _, value := range r.Values {
					values[r.Key][value] = true
				}
			}
			offerings = append(offerings, &cloudprovider.Offering{Price: o.Price, Available: true, Requirements: requirements})
		}
		listed := func(key string) []string {
			var out []string
			for value := range values[key] {
				out = append(out, value)
			}
			return out
		}
		capacity := corev1.ResourceList{corev1.ResourcePods: resource.MustParse("110")}
		for name, quantity := range e.Resources {
			capacity[name] = quantity
		}
		is := func(key string, values ...string) *karpenter.Requirement {
			return karpenter.NewRequirement(key, corev1.NodeSelectorOpIn, values...)
		}
		all = append(all, &cloudprovider.InstanceType{
			Name:      e.Name,
			Offerings: offerings,
			Capacity:  capacity,
			Requirements: karpenter.NewRequirements(
				is(corev1.LabelInstanceTypeStable, e.Name),
				is(corev1.LabelArchStable, e.Architecture),
				is(corev1.LabelOSStable, e.OperatingSystems...),
				is(corev1.LabelTopologyZone, listed(corev1.LabelTopologyZone)...),
				is(v1.CapacityTypeLabelKey, listed(v1.CapacityTypeLabelKey)...),
			),
			Overhead: &cloudprovider.InstanceTypeOverhead{KubeReserved: corev1.ResourceList{
				corev1.ResourceCPU:    resource.MustParse("100m"),
				corev1.ResourceMemory: resource.MustParse("10Mi"),
			}},
		})
	}
	return all
}

func solve(ctx context.Context, offered []*cloudprovider.InstanceType, question world) (answer, error) {
	pools := question.pools
	if len(pools) == 0 {
		// The scheduler expects limits on a pool; these never bind.
		endless := v1.Limits{corev1.ResourceCPU: resource.MustParse("1e9")}
		open := v1.NodePool{ObjectMeta: metav1.ObjectMeta{Name: "default"}, Spec: v1.NodePoolSpec{Limits: endless}}
		pools = []*v1.NodePool{test.NodePool(open)}
	}
	nodepools.OrderByWeight(pools)
	byPool := map[string][]*cloudprovider.InstanceType{}
	for _, pool := range pools {
		byPool[pool.Name] = offered
	}
	provider := fakeprovider.NewCloudProvider()
	provider.InstanceTypes = offered
	client := question.client()
	now := clock.RealClock{}
	cluster := state.NewCluster(now, client, provider)
	for _, node := range question.nodes {
		if err := cluster.UpdateNode(ctx, node); err != nil {
			return answer{}, err
		}
	}
	for _, pod := range question.running {
		if err := cluster.UpdatePod(ctx, pod); err != nil {
			return answer{}, err
		}
	}
	nodes := cluster.DeepCopyNodes().Active()
	workers := scheduling.NumConcurrentReconciles(2)

	start := time.Now()
	volumes := scheduling.NewVolumeTopology(client)
	byPod := map[types.UID][]karpenter.Requirements{}
	var all []*corev1.Pod
	for _, pod := range question.pending {
		if err := volumes.ValidatePersistentVolumeClaims(ctx, pod); err != nil {
			continue
		}
		requirements, err := volumes.GetRequirements(ctx, pod)
		if err != nil {
			continue
		}
		if len(requirements) > 0 {
			byPod[pod.UID] = requirements
		}
		all = append(all, pod)
	}
	topology, err := scheduling.NewTopology(ctx, client, cluster, nodes, pools, byPool, all, workers)
	if err != nil {
		return answer{}, err
	}
	recorder := events.NewRecorder(&record.FakeRecorder{})
	scheduler := scheduling.NewScheduler(ctx, client, pools, cluster, nodes, topology, byPool, nil, recorder, now, byPod, nil, workers)
	results, err := scheduler.Solve(ctx, all)
	if err != nil && ctx.Err() == nil {
		return answer{}, err
	}
	out := answer{Pods: len(question.pending), Seconds: time.Since(start).Seconds(), Nodes: len(results.NewNodeClaims), TimedOut: ctx.Err() != nil}
	placed := map[string]bool{}
	for _, claim := range results.NewNodeClaims {
		for _, pod := range claim.Pods {
			placed[pod.Name] = true
		}
		out.PerHour += cheapest(claim)
	}
	for _, node := range results.ExistingNodes {
		for _, pod := range node.Pods {
			placed[pod.Name] = true
		}
	}
	if len(question.pending) <= mostDetailed {
		out.Placement = detailed(results)
	}
	out.Placed = len(placed)
	for _, pod := range question.pending {
		if !placed[pod.Name] {
			out.Unplaced = append(out.Unplaced, pod.Name)
		}
	}
	return out, nil
}

// cheapest is what the best launch that a claim leaves open costs: the most
// favourable reading of the peer's answer.
func cheapest(claim *scheduling.NodeClaim) float64 {
	least := math.Inf(1)
	for _, offered := range claim.InstanceTypeOptions {
		for _, offering := range offered.Offerings.Compatible(claim.Requirements) {
			least = math.Min(least, offering.Price)
		}
	}
	return least
}
