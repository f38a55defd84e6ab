package main

import (
	"math"
	"sort"

	corev1 "k8s.io/api/core/v1"
	v1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/controllers/provisioning/scheduling"
)

// mostDetailed is the most pods for which it is told who is where.
const mostDetailed = 200

// placement says who is where, in the words of our own plans.
type placement struct {
	Nodes    []launched `json:"nodes"`
	Existing []occupied `json:"existing"`
}

type launched struct {
	NodePool     string            `json:"nodePool"`
	InstanceType string            `json:"instanceType"`
	Zone         string            `json:"zone"`
	CapacityType string            `json:"capacityType"`
	Labels       map[string]string `json:"labels"`
	Pods         []string          `json:"pods"`
}

type occupied struct {
	Name string   `json:"name"`
	Pods []string `json:"pods"`
}

func detailed(results scheduling.Results) *placement {
	out := &placement{}
	for _, claim := range results.NewNodeClaims {
		out.Nodes = append(out.Nodes, launch(claim))
	}
	for _, node := range results.ExistingNodes {
		if len(node.Pods) > 0 {
			out.Existing = append(out.Existing, occupied{Name: node.Name(), Pods: names(node.Pods)})
		}
	}
	return out
}

// launch is the cheapest that a claim leaves open.
func launch(claim *scheduling.NodeClaim) launched {
	out := launched{NodePool: claim.NodePoolName, Labels: map[string]string{}, Pods: names(claim.Pods)}
	least := math.Inf(1)
	for _, offered := range claim.InstanceTypeOptions {
		for _, offering := range offered.Offerings.Compatible(claim.Requirements) {
			if offering.Price >= least {
				continue
			}
			least = offering.Price
			out.InstanceType = offered.Name
			out.Zone = first(offering.Requirements.Get(corev1.LabelTopologyZone).Values(), claim, corev1.LabelTopologyZone)
			out.CapacityType = first(offering.Requirements.Get(v1.CapacityTypeLabelKey).Values(), claim, v1.CapacityTypeLabelKey)
		}
	}
	for key, requirement := range claim.Requirements {
		if !v1.WellKnownLabels.Has(key) && requirement.Operator() == corev1.NodeSelectorOpIn {
			out.Labels[key] = first(requirement.Values(), claim, key)
		}
	}
	return out
}

// first is the first value, by name, that the claim's requirements admit.
func first(values []string, claim *scheduling.NodeClaim, key string) string {
	sort.Strings(values)
	for _, value := range values {
		if claim.Requirements.Get(key).Has(value) {
			return value
		}
	}
	return ""
}

func names(pods []*corev1.Pod) []string {
	var out []string
	for _, pod := range pods {
		out = append(out, pod.Namespace+"/"+pod.Name)
	}
	return out
}
