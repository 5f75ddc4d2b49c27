package server

import (
	"banyan/access"
	"banyan/model"
	"banyan/proto/apiv1/apiv1connect"
)

// Full names of the methods of reflection, which foreign clients need before they know anything.
const (
	reflectV1      = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
	reflectV1Alpha = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
)

// Methods says whom each method of the API answers. A method that is not here answers nobody.
var Methods = access.Methods{
	apiv1connect.TreeServiceGetProcedure:           {Who: access.Entitled, Right: model.RightView, Field: "address"},
	apiv1connect.TreeServiceDescribeProcedure:      {Who: access.Entitled, Right: model.RightView, Field: "path"},
	apiv1connect.TreeServiceListProcedure:          {Who: access.Filtered, Right: model.RightView},
	apiv1connect.TreeServiceSetProcedure:           {Who: access.Declared, Right: model.RightView, Field: "address"},
	apiv1connect.TreeServiceCallProcedure:          {Who: access.Declared, Right: model.RightView, Field: "path"},
	apiv1connect.TreeServiceCreateProcedure:        {Who: access.Entitled, Right: model.RightConfigure, Field: "path"},
	apiv1connect.TreeServiceRemoveProcedure:        {Who: access.Entitled, Right: model.RightConfigure, Field: "path"},
	apiv1connect.TreeServiceApplyProcedure:         {Who: access.Declared, Right: model.RightView, Field: "edits"},
	apiv1connect.TreeServiceRequestsProcedure:      {Who: access.Filtered, Right: model.RightView},
	apiv1connect.TreeServiceCancelRequestProcedure: {Who: access.Authenticated},
	apiv1connect.TreeServiceExportProcedure:        {Who: access.Filtered, Right: model.RightView},
	apiv1connect.TreeServiceWatchProcedure:         {Who: access.Entitled, Right: model.RightView, Field: "addresses"},
	apiv1connect.TreeServiceFollowProcedure:        {Who: access.Filtered, Right: model.RightView},

	apiv1connect.SessionServiceLoginProcedure:  {Who: access.Public},
	apiv1connect.SessionServiceLogoutProcedure: {Who: access.Authenticated},
	apiv1connect.SessionServiceWhoProcedure:    {Who: access.Authenticated},

	apiv1connect.NodeServiceInfoProcedure: {Who: access.Public},

	reflectV1:      {Who: access.Public},
	reflectV1Alpha: {Who: access.Public},
}
